package picture

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

// metadata is what EXIF says that matters to a copy.
type metadata struct {
	orientation orientation
	capturedAt  time.Time
}

// orientation is the EXIF tag: 1 is upright, 0 not said.
// CIPA DC-008 (EXIF 3.0), 4.6.5.1.6.
type orientation uint16

// Turning a picture upright is done in two steps: mirror the stored one, then swap
// its axes.

func (o orientation) transposes() bool { return o >= 5 && o <= 8 }

func (o orientation) mirrorsX() bool { return o == 2 || o == 3 || o == 7 || o == 8 }

func (o orientation) mirrorsY() bool { return o == 3 || o == 4 || o == 6 || o == 7 }

// EXIF tags. CIPA DC-008 (EXIF 3.0), 4.6.4 and 4.6.6.
const (
	tagOrientation        = 0x0112
	tagExifIFD            = 0x8769
	tagDateTimeOriginal   = 0x9003
	tagOffsetTimeOriginal = 0x9011
	tagSubSecTimeOriginal = 0x9291
)

// EXIF value types.
const (
	typeASCII = 2
	typeShort = 3
	typeLong  = 4
)

// maxIFDEntries bounds the work that a directory can ask for. Cameras write some
// dozens.
const maxIFDEntries = 512

// readEXIF reads a TIFF structure. What it cannot make sense of is as if it were not
// there: a picture with broken metadata is still a picture.
func readEXIF(data []byte) metadata {
	data = bytes.TrimPrefix(data, []byte("Exif\x00\x00"))
	if len(data) < 8 {
		return metadata{}
	}
	t := tiff{data: data}
	switch string(data[:4]) {
	case "II*\x00":
		t.order = binary.LittleEndian
	case "MM\x00*":
		t.order = binary.BigEndian
	default:
		return metadata{}
	}
	var m metadata
	main := t.directory(t.order.Uint32(data[4:]))
	if o := orientation(t.short(main[tagOrientation])); o >= 1 && o <= 8 {
		m.orientation = o
	}
	if at := t.long(main[tagExifIFD]); at != 0 {
		exif := t.directory(at)
		m.capturedAt = captureTime(t.text(exif[tagDateTimeOriginal]), t.text(exif[tagSubSecTimeOriginal]), t.text(exif[tagOffsetTimeOriginal]))
	}
	return m
}

type tiff struct {
	data  []byte
	order binary.ByteOrder
}

// entry is one field of a directory: its type, how many values it has, and its value
// or where that is.
type entry struct {
	kind  uint16
	count uint32
	value []byte // 4 bytes
}

func (t tiff) directory(at uint32) map[uint16]entry {
	if int64(at)+2 > int64(len(t.data)) {
		return nil
	}
	rest := t.data[at:]
	n := min(int(t.order.Uint16(rest)), maxIFDEntries)
	rest = rest[2:]
	fields := make(map[uint16]entry, n)
	for ; n > 0 && len(rest) >= 12; n-- {
		fields[t.order.Uint16(rest)] = entry{t.order.Uint16(rest[2:]), t.order.Uint32(rest[4:]), rest[8:12]}
		rest = rest[12:]
	}
	return fields
}

func (t tiff) short(e entry) uint16 {
	if e.kind != typeShort || e.count != 1 {
		return 0
	}
	return t.order.Uint16(e.value)
}

func (t tiff) long(e entry) uint32 {
	if e.kind != typeLong || e.count != 1 {
		return 0
	}
	return t.order.Uint32(e.value)
}

// text is a value of at most 64 bytes, up to its terminator.
func (t tiff) text(e entry) string {
	if e.kind != typeASCII || e.count > 64 {
		return ""
	}
	raw := e.value[:min(e.count, 4)]
	if e.count > 4 {
		at := int64(t.order.Uint32(e.value))
		if at+int64(e.count) > int64(len(t.data)) {
			return ""
		}
		raw = t.data[at : at+int64(e.count)]
	}
	s, _, _ := strings.Cut(string(raw), "\x00")
	return strings.TrimSpace(s)
}

// captureTime puts together what EXIF says of a moment. Digital cameras that never
// had their clock set write zeros or blanks.
func captureTime(date, fraction, offset string) time.Time {
	const layout = "2006:01:02 15:04:05"
	at, err := time.Parse(layout, date)
	if err != nil {
		return time.Time{}
	}
	if withFraction, err := time.Parse(layout+".999999999", date+"."+fraction); err == nil && fraction != "" {
		at = withFraction
	}
	if zone, err := time.Parse("-07:00", offset); err == nil {
		_, seconds := zone.Zone()
		at = at.Add(-time.Duration(seconds) * time.Second)
	}
	if at.Year() < 1826 || at.Year() > 9999 { // the year of the oldest photograph
		return time.Time{}
	}
	return at.UTC()
}
