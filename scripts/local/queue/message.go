package queue

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's digests are MD5
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Message is a message to send.
type Message struct {
	Body       string
	Attributes map[string]Attribute
	// SystemAttributes may hold AWSTraceHeader and nothing else.
	SystemAttributes map[string]Attribute
	Delay            *time.Duration // nil: the queue's. FIFO queues allow no other
	// GroupID is required on FIFO queues, which keep order within it. Standard queues keep it for
	// the consumer to see.
	GroupID         string
	DeduplicationID string // FIFO only; may be left out when the queue makes it from the body
	SenderID        string // empty: the account
}

// Attribute is a message attribute. Its JSON form is that of the SQS API.
type Attribute struct {
	DataType    string  `json:"DataType"` // String, Number or Binary, with an optional .suffix
	StringValue *string `json:"StringValue,omitempty"`
	BinaryValue []byte  `json:"BinaryValue,omitempty"`
}

// StringAttribute is an attribute of type String.
func StringAttribute(value string) Attribute {
	return Attribute{DataType: "String", StringValue: &value}
}

// Sent acknowledges a message.
type Sent struct {
	MessageID             string
	MD5OfBody             string
	MD5OfAttributes       string // empty: there are none
	MD5OfSystemAttributes string // empty: there are none
	SequenceNumber        string // FIFO only
}

// Received is a message as a consumer sees it.
type Received struct {
	MessageID         string
	ReceiptHandle     string // empty when it was only looked at
	Body              string
	MD5OfBody         string
	MD5OfAttributes   string               // empty: there are none
	Attributes        map[string]string    // the system's: SentTimestamp, ApproximateReceiveCount, ...
	MessageAttributes map[string]Attribute // the sender's
}

// systemAttribute is the only attribute of the system that a sender may set.
const systemAttribute = "AWSTraceHeader"

// traced gives a message the trace of its sender, unless it brings one.
func (m Message) traced(ctx context.Context) Message {
	header, _ := xray.FromContext(ctx)
	if header.Root == "" || len(m.SystemAttributes) > 0 {
		return m
	}
	m.SystemAttributes = map[string]Attribute{systemAttribute: StringAttribute(header.String())}
	return m
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*$`)
	fifoID        = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]{1,128}$")
)

// size is what counts against the limit: the body, and the names, types and values of attributes.
func (m *Message) size() int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

// validate checks what SQS checks of a message on its own.
func (m *Message) validate(q Queue) error {
	if m.Body == "" {
		return missingParameter("MessageBody")
	}
	if m.size() > q.MaxMessageBytes {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.MaxMessageBytes)
	}
	if !validText(m.Body) {
		return &Error{Code: "InvalidMessageContents", Message: "Invalid binary character found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"}
	}
	if m.Delay != nil && (*m.Delay < 0 || *m.Delay > maxDelay) {
		return invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", int(m.Delay.Seconds()))
	}
	if err := validateAttributes(m.Attributes); err != nil {
		return err
	}
	for name, a := range m.SystemAttributes {
		if name != systemAttribute || a.DataType != "String" || a.StringValue == nil {
			return invalidParameter("Message system attribute name '%s' is invalid: only AWSTraceHeader, a String, may be set.", name)
		}
	}
	return m.validateFIFO(q)
}

func (m *Message) validateFIFO(q Queue) error {
	if m.GroupID != "" && !fifoID.MatchString(m.GroupID) {
		return invalidParameter("Value %s for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.", m.GroupID)
	}
	if !q.FIFO {
		if m.DeduplicationID != "" {
			return invalidParameter("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", m.DeduplicationID)
		}
		return nil
	}
	switch {
	case m.GroupID == "":
		return missingParameter("MessageGroupId")
	case m.Delay != nil && *m.Delay != q.Delay:
		return invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.", int(m.Delay.Seconds()))
	case m.DeduplicationID == "" && !q.ContentBasedDeduplication:
		return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case m.DeduplicationID != "" && !fifoID.MatchString(m.DeduplicationID):
		return invalidParameter("Value %s for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.", m.DeduplicationID)
	}
	return nil
}

func validateAttributes(attributes map[string]Attribute) error {
	if len(attributes) > maxAttributes {
		return invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxAttributes)
	}
	for name, a := range attributes {
		lower := strings.ToLower(name)
		if len(name) > 256 || !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
			return invalidParameter("Message (user) attribute name '%s' is invalid.", name)
		}
		base, _, _ := strings.Cut(a.DataType, ".")
		switch base {
		case "String", "Number":
			if a.StringValue == nil || *a.StringValue == "" || !validText(*a.StringValue) {
				return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name, base)
			}
		case "Binary":
			if len(a.BinaryValue) == 0 {
				return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type 'Binary'.", name)
			}
		default:
			return invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
		}
	}
	return nil
}

// validText says whether s holds only the characters that XML allows, as SQS asks.
func validText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return false
		case r < 0x20, r == 0xFFFE, r == 0xFFFF:
			return true
		}
		return false
	})
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // SQS's digests are MD5
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is SQS's digest of attributes: sorted by name; name, type and value each with
// their length before them, the value also with a byte that says its kind.
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func md5OfAttributes(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var buf []byte
	field := func(b []byte) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(b)))
		buf = append(buf, b...)
	}
	const kindString, kindBinary = 1, 2
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field([]byte(name))
		field([]byte(a.DataType))
		if strings.HasPrefix(a.DataType, "Binary") {
			buf = append(buf, kindBinary)
			field(a.BinaryValue)
		} else {
			buf = append(buf, kindString)
			field([]byte(*a.StringValue))
		}
	}
	sum := md5.Sum(buf) //nolint:gosec // SQS's digests are MD5
	return hex.EncodeToString(sum[:])
}

func isFIFOName(name string) bool { return strings.HasSuffix(name, ".fifo") }

// sequenceNumber has 20 digits, so that it sorts as text too.
func sequenceNumber(seq uint64) string { return fmt.Sprintf("%020d", seq) }
