// Package s3store is the S3 side of Stowage: it signs the requests with which clients
// move bytes, and (for ingest) reads what is stored.
//
// # Signing
//
// Presigner signs PUT and GET requests with the SDK's aws/signer/v4 on requests that it
// prepares itself: about a third of the work of the SDK's presign client, and the same URL
// byte for byte (a property test compares them; of an empty object, whose content type the
// SDK would leave unsigned, the URL differs on purpose). Every header that decides what is stored
// is signed, so that S3 refuses a request that differs: host, content-length (unless zero),
// content-type, if-none-match and x-amz-checksum-sha256.
//
// URLs are signed with the session of the signer role, never with the function's own
// credentials, because the end of those is not known. A URL lives
// min(asked, what is left of the session - 1 minute).
//
// A signed URL is a credential: Signed hides it from loggers.
//
// # IAM
//
// The function needs sts:AssumeRole on the signer role and nothing on objects. The signer
// role needs s3:PutObject and s3:GetObjectVersion on the bucket's objects, and the bucket
// key's kms:GenerateDataKey and kms:Decrypt.
//
// All types are safe for concurrent use.
package s3store
