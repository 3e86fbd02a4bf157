// Package catalog is the one declaration of the catalog table: its keys and
// indexes, the items that it holds, and the ways in which they are read.
//
// Everything that must agree comes from it: the infrastructure creates the
// table from MainTable, the adapter builds keys and reads and writes items
// through the entities of Declare, the stream's reader decodes with the same
// entities, and docs/access-patterns.md is generated from them.
//
// It imports neither the AWS SDK nor the CDK, so that both sides can use it.
package catalog
