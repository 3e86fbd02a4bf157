// Package tenancy lets the requests of an HTTP API through to one workspace: a token has to
// have a scope, its subject a role in the workspace, and the workspace must not write faster
// than it may. Whoever is let through is the context's [Caller].
//
// A [Gate] is safe for concurrent use. It needs dynamodb:GetItem on the catalog (members,
// workspaces), and where it limits writes dynamodb:UpdateItem (a workspace's rate).
package tenancy
