// Package guarddutyscan is the scanner of Amazon GuardDuty Malware Protection for S3.
//
// GuardDuty scans every new version below the prefixes of its protection plan by itself
// and says what it found on the account's default event bus: at least once, in any
// order, and perhaps before anybody else has heard of the version. Its own tagging of
// objects is off: it would replace the tag that the quarantine is kept by.
//
// The package calls nothing and needs no right.
package guarddutyscan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/scan"
)

// Name is what verdicts call the scanner.
const Name = "GuardDuty"

// Source and DetailType are those of the events that tell of results.
// https://docs.aws.amazon.com/guardduty/latest/ug/monitor-with-eventbridge-s3-malware-protection.html
const (
	Source     = "aws.guardduty"
	DetailType = "GuardDuty Malware Protection Object Scan Result"
)

// ErrForeign is an event that is not about the bucket.
var ErrForeign = errors.New("the scan result is of another bucket")

// Scanner reads the results of one bucket. It is safe for concurrent use.
type Scanner struct{ bucket string }

// New returns the scanner of bucket.
func New(bucket string) *Scanner { return &Scanner{bucket: bucket} }

// Submit does nothing: GuardDuty has seen the version itself.
func (*Scanner) Submit(context.Context, scan.Request) error { return nil }

// event is what EventBridge delivers.
type event struct {
	Source     string    `json:"source"`
	DetailType string    `json:"detail-type"`
	Time       time.Time `json:"time"`
	Detail     struct {
		ScanStatus string `json:"scanStatus"`
		Object     struct {
			Bucket    string `json:"bucketName"`
			Key       string `json:"objectKey"`
			VersionID string `json:"versionId"`
		} `json:"s3ObjectDetails"`
		Result struct {
			Status  string `json:"scanResultStatus"`
			Threats []struct {
				Name string `json:"name"`
			} `json:"threats"`
		} `json:"scanResultDetails"`
	} `json:"detail"`
}

// Verdict reads the event of one result. A result of a kind that is not known is an
// error, as is one of another bucket: ErrForeign.
func (s *Scanner) Verdict(body []byte) (scan.Verdict, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return scan.Verdict{}, fmt.Errorf("decode GuardDuty's event: %w", err)
	}
	if e.Source != Source || e.DetailType != DetailType {
		return scan.Verdict{}, fmt.Errorf("decode GuardDuty's event: it is %q of %q, want %q of %q", e.DetailType, e.Source, DetailType, Source)
	}
	if e.Detail.Object.Bucket != s.bucket {
		return scan.Verdict{}, fmt.Errorf("%w: %s", ErrForeign, e.Detail.Object.Bucket)
	}
	result, err := resultOf(e.Detail.Result.Status)
	if err != nil {
		return scan.Verdict{}, err
	}
	v := scan.Verdict{
		Key: e.Detail.Object.Key, VersionID: e.Detail.Object.VersionID,
		Result: result, Scanner: Name, Time: e.Time,
	}
	for _, t := range e.Detail.Result.Threats {
		v.Threats = append(v.Threats, t.Name)
	}
	if !result.Conclusive() {
		v.Detail = "scan " + e.Detail.ScanStatus
	}
	return v, v.Validate()
}

// resultOf translates GuardDuty's words.
// https://docs.aws.amazon.com/guardduty/latest/ug/monitoring-malware-protection-s3-scans-gdu.html
func resultOf(status string) (scan.Result, error) {
	switch status {
	case "NO_THREATS_FOUND":
		return scan.Clean, nil
	case "THREATS_FOUND":
		return scan.Infected, nil
	case "UNSUPPORTED":
		return scan.Unsupported, nil
	case "ACCESS_DENIED":
		return scan.Denied, nil
	case "FAILED":
		return scan.Failed, nil
	default:
		return "", fmt.Errorf("GuardDuty's result is %q, which is none that is known", status)
	}
}
