package object

// The quarantine is kept by tags: the bucket's policy refuses to read a version
// that does not carry the verdict Available, and refuses to write tags to every
// principal that is not tagged as the quarantine's writer.
const (
	// VerdictTag is the key of the S3 tag that holds the verdict on a version.
	VerdictTag = "stowage"
	// VerdictAvailable and VerdictRejected are its values.
	VerdictAvailable = "available"
	VerdictRejected  = "rejected"

	// PrincipalTag is the key of the IAM principal tag that lets a role pass
	// the quarantine.
	PrincipalTag = "stowage-quarantine"
	// PrincipalReader may read versions that carry no verdict yet.
	PrincipalReader = "reader"
	// PrincipalWriter may read them and write verdicts.
	PrincipalWriter = "writer"
)
