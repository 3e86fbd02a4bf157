// Package s3store is the S3 side of Stowage: it signs the requests with which clients
// move bytes, runs multipart uploads, and (for ingest) reads what is stored.
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
// # Multipart uploads
//
// PresignParts signs the PUT of each part with the part's exact length, and nothing else but
// the host: S3 computes the CRC-64/NVME of the whole object while it assembles the parts
// (FULL_OBJECT), compares it and the size with what was declared, and writes the key only if
// nothing is there (If-None-Match: *). Multipart creates, lists, completes and aborts them. S3
// may answer a completion with status 200 and an error, and may have completed what it does
// not know any more: see CompleteMultipart.
//
// # Sealing and sweeping
//
// Sealer closes the key of an upload that has ended: docs/decisions/0004-sealed-keys.md says
// why. Contents lists what a bucket holds, and Inventory does so from the reports of S3
// Inventory, for whoever looks for bytes without an owner.
//
// # IAM
//
// The function needs sts:AssumeRole on the signer role and nothing on objects. The signer
// role needs s3:PutObject, s3:GetObjectVersion, s3:DeleteObjectVersion,
// s3:ListMultipartUploadParts and s3:AbortMultipartUpload on the bucket's objects,
// s3:ListBucketVersions on the bucket, and the bucket key's kms:GenerateDataKey and
// kms:Decrypt. What other types need is said with them.
//
// All types are safe for concurrent use.
package s3store
