// Package usage keeps, over all runs of the local runtime, which grants of which
// roles were used and which calls of roles were denied: one JSON line for each
// thing that is new to its run.
//
// Several processes may write to one file at a time; each line is written at once.
package usage

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/stowage-dev/stowage/scripts/local/iam"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
)

// Line is one use of a grant, or one denial.
type Line struct {
	Role   string  `json:"role"`   // ARN
	Action string  `json:"action"` // that was asked for: s3:GetObjectVersion
	Grant  *Grant  `json:"grant,omitempty"`
	Denial *Denial `json:"denial,omitempty"`
}

// Grant names what allowed the action: a statement of the role's own policies and the words of it that
// match.
type Grant struct {
	Policy    string `json:"policy"`
	Statement int    `json:"statement"`
	Action    string `json:"action"`   // empty: the statement has NotAction
	Resource  string `json:"resource"` // empty: it has NotResource
}

// Denial says what was denied to whom, and why.
type Denial struct {
	Principal string `json:"principal"`
	Resource  string `json:"resource"`
	Why       string `json:"why"`
}

// Recorder appends to a file. It is safe for concurrent use.
type Recorder struct {
	mu   sync.Mutex
	file *os.File
	seen map[entry]bool
	err  error // the first that was met
}

// entry is what a line tells.
type entry struct {
	role, action string
	grant        Grant
	denial       Denial
}

// line is an entry as it is written.
func (e entry) line() Line {
	l := Line{Role: e.role, Action: e.action}
	if e.denial != (Denial{}) {
		l.Denial = &e.denial
	} else {
		l.Grant = &e.grant
	}
	return l
}

// Open begins a run. The file is made when it is not there.
func Open(path string) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the record of used grants: %w", err)
	}
	return &Recorder{file: f, seen: map[entry]bool{}}, nil
}

// Record keeps what an outcome tells of a role.
func (r *Recorder) Record(o authorize.Outcome) {
	if o.Caller == nil || o.Caller.RoleARN == "" {
		return
	}
	e := entry{role: o.Caller.RoleARN, action: o.Request.Action}
	if !o.Decision.Allowed {
		e.denial = Denial{Principal: o.Caller.PrincipalARN, Resource: o.Request.Resource, Why: o.String()}
		r.append(e)
		return
	}
	for _, g := range o.Decision.Grants {
		if g.Kind == iam.Identity {
			e.grant = Grant{Policy: g.Policy, Statement: g.Index, Action: g.Action, Resource: g.Resource}
			r.append(e)
		}
	}
}

func (r *Recorder) append(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e] || r.err != nil {
		return
	}
	r.seen[e] = true
	var raw []byte
	if raw, r.err = json.Marshal(e.line()); r.err == nil {
		_, r.err = r.file.Write(append(raw, '\n'))
	}
}

// Close ends the run, and says whether anything could not be written.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(r.err, r.file.Close()); err != nil {
		return fmt.Errorf("record used grants: %w", err)
	}
	return nil
}

// Read gives the lines of a file; none when there is no file. The last line may have been cut short by a
// kill.
func Read(path string) ([]Line, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the record of used grants: %w", err)
	}
	defer f.Close()
	var lines []Line
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		raw, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		var line Line
		if err := json.Unmarshal(raw, &line); err != nil {
			return nil, fmt.Errorf("read %s, line %d: %w", path, n, err)
		}
		if (line.Grant == nil) == (line.Denial == nil) {
			return nil, fmt.Errorf("read %s, line %d: it tells neither of a use nor of a denial: remove the file and run the tests again", path, n)
		}
		lines = append(lines, line)
	}
}
