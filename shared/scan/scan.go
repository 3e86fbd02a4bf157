// Package scan is the domain of malware scans: what is asked of a scanner, and what it
// says.
//
// A verified version waits in quarantine until a scanner has come to a conclusion about
// it. Two of a scanner's results conclude: Clean lets the version out, Infected has it
// rejected. All others say that nobody knows, and leave it where it is. There is no
// result, no error and no lapse of time that stands for Clean.
//
// The package knows no AWS SDK and does no I/O.
package scan

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/object"
)

// Result is what a scanner says of a version.
type Result string

const (
	// Clean is a scanner having read everything and found nothing.
	Clean Result = "clean"
	// Infected is a scanner having found malware.
	Infected Result = "infected"
	// Unsupported is a version that the scanner cannot read whole: it is too large,
	// too deeply packed, or encrypted.
	Unsupported Result = "unsupported"
	// Denied is a scanner that may not read the version.
	Denied Result = "denied"
	// Failed is a scan that broke off.
	Failed Result = "failed"
)

// Conclusive reports whether r decides about a version.
func (r Result) Conclusive() bool { return r == Clean || r == Infected }

// known reports whether r is one of the results above.
func (r Result) known() bool {
	switch r {
	case Clean, Infected, Unsupported, Denied, Failed:
		return true
	default:
		return false
	}
}

// Request asks for a scan of one version.
type Request struct {
	Key       string `json:"key"`
	VersionID string `json:"versionId"`
	Size      int64  `json:"size"` // bytes
}

// Location is where the version is.
func (r Request) Location() object.Location {
	return object.Location{Key: r.Key, VersionID: r.VersionID}
}

// Validate returns an error for a request that names no version.
func (r Request) Validate() error {
	if r.Key == "" || r.VersionID == "" || r.Size < 0 {
		return fmt.Errorf("scan request names the key %q, the version %q and %d bytes: all three are needed", r.Key, r.VersionID, r.Size)
	}
	return nil
}

// Verdict is what a scanner says of one version.
type Verdict struct {
	Key       string    `json:"key"`
	VersionID string    `json:"versionId"`
	Result    Result    `json:"result"`
	Threats   []string  `json:"threats,omitempty"` // by the scanner's names
	Detail    string    `json:"detail,omitempty"`  // why there is no conclusion
	Scanner   string    `json:"scanner"`
	Time      time.Time `json:"time"`
}

// Location is where the version is.
func (v Verdict) Location() object.Location {
	return object.Location{Key: v.Key, VersionID: v.VersionID}
}

// Validate returns an error for a verdict that names no version or no known result.
func (v Verdict) Validate() error {
	switch {
	case v.Key == "" || v.VersionID == "":
		return fmt.Errorf("verdict names the key %q and the version %q: both are needed", v.Key, v.VersionID)
	case !v.Result.known():
		return fmt.Errorf("verdict on %s is %q: none that is known", v.Location(), v.Result)
	default:
		return nil
	}
}

// maxThreats is how many of a scanner's findings a reason names.
const maxThreats = 5

// Reason says in words why a version is not clean.
func (v Verdict) Reason() string {
	if v.Result != Infected {
		text := fmt.Sprintf("%s reached no verdict: %s", v.Scanner, v.Result)
		if v.Detail != "" {
			text += " (" + v.Detail + ")"
		}
		return text
	}
	if len(v.Threats) == 0 {
		return v.Scanner + " found malware"
	}
	named, more := v.Threats, ""
	if len(named) > maxThreats {
		named, more = named[:maxThreats], fmt.Sprintf(" and %d more", len(v.Threats)-maxThreats)
	}
	return v.Scanner + " found " + strings.Join(named, ", ") + more
}

// DecodeVerdict reads a verdict in its own form. It is the inverse of json.Marshal.
func DecodeVerdict(body []byte) (Verdict, error) {
	var v Verdict
	if err := json.Unmarshal(body, &v); err != nil {
		return Verdict{}, fmt.Errorf("decode verdict: %w", err)
	}
	return v, v.Validate()
}

// DecodeRequest reads a request. It is the inverse of json.Marshal.
func DecodeRequest(body []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		return Request{}, fmt.Errorf("decode scan request: %w", err)
	}
	return r, r.Validate()
}
