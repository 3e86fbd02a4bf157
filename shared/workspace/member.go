package workspace

import (
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// Claim is the access token's claim that lists the workspaces of its subject. Its
// value is <workspace>:<role> for each, separated by spaces and sorted: a string,
// because API Gateway hands claims to an integration as strings.
const Claim = "stowage:workspaces"

// Role is what a member may do in a workspace.
type Role string

// Each role may do all that the ones after it may.
const (
	Owner  Role = "owner"
	Writer Role = "writer"
	Reader Role = "reader"
)

// ParseRole returns the role that text names.
func ParseRole(text string) (Role, error) {
	r := Role(text)
	if r.rank() == 0 {
		return "", fault.Invalid("role", "%q is none of owner, writer, reader", text)
	}
	return r, nil
}

// Includes reports whether r may do all that need may. An unknown role may do
// nothing.
func (r Role) Includes(need Role) bool {
	return need.rank() > 0 && r.rank() >= need.rank()
}

func (r Role) rank() int {
	switch r {
	case Owner:
		return 3
	case Writer:
		return 2
	case Reader:
		return 1
	default:
		return 0
	}
}

// Member is one subject's role in one workspace.
type Member struct {
	Workspace string
	Sub       string // the subject of the member's tokens
	Role      Role
	CreatedAt time.Time
	CreatedBy string
}

// Validate returns an InvalidArgument error that names every bad field.
func (m Member) Validate() error {
	_, roleErr := ParseRole(string(m.Role))
	return fault.Join(ValidateID("workspace", m.Workspace), ValidateSub(m.Sub), roleErr)
}

// ValidateSub returns an InvalidArgument error unless sub can be the subject of
// a token: 1 to limits.SubjectBytes printable ASCII characters.
func ValidateSub(sub string) error {
	if sub == "" || len(sub) > limits.SubjectBytes {
		return fault.Invalid("sub", "has %d characters, must have 1 to %d", len(sub), limits.SubjectBytes)
	}
	for i := range len(sub) {
		if sub[i] <= ' ' || sub[i] > '~' {
			return fault.Invalid("sub", "holds a character that is not printable ASCII")
		}
	}
	return nil
}
