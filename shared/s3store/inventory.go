package s3store

import (
	"compress/gzip"
	"context"
	"crypto/md5" //nolint:gosec // what S3 writes into its manifests; it guards against accidents
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
)

// InventoryConfig says where S3 Inventory writes its reports.
type InventoryConfig struct {
	// Bucket and Prefix are those of the reports: <prefix>/<source>/<id>/, without a
	// slash at the end.
	Bucket, Prefix string
	// MaxAge is how old a report may be to begin with. 0: 3 days, of which S3 takes up
	// to two for the first report.
	MaxAge time.Duration
	Now    func() time.Time
}

// Inventory lists a bucket from the reports of S3 Inventory, which cost a fraction of
// listing it. A report tells of a moment up to some days ago: what it says of a version
// has to be looked at again before anything is done to it.
//
// Its client needs s3:ListBucket and s3:GetObject on the reports. It is safe for
// concurrent use.
type Inventory struct {
	client *s3.Client
	cfg    InventoryConfig
	live   *Contents
}

// NewInventory returns a listing from reports, and from live where there is no report
// yet.
func NewInventory(client *s3.Client, cfg InventoryConfig, live *Contents) *Inventory {
	if cfg.MaxAge == 0 {
		cfg.MaxAge = 3 * 24 * time.Hour
	}
	return &Inventory{client: client, cfg: cfg, live: live}
}

// Versions yields the versions of the latest report, in its order, or else of the live
// listing, from the one after the given mark on. It leaves delete markers out. It ends
// after an error, which is fault.NotFound when the report of the mark is gone.
func (i *Inventory) Versions(ctx context.Context, after string) iter.Seq2[object.Stored, error] {
	return func(yield func(object.Stored, error) bool) {
		at, isReport, err := parseReportMark(after)
		if err == nil && after == "" {
			at.manifest, err = i.latest(ctx)
			isReport = at.manifest != ""
		}
		if err != nil {
			yield(object.Stored{}, err)
			return
		}
		if !isReport {
			i.live.Versions(ctx, after)(yield)
			return
		}
		if err := i.report(ctx, at, yield); err != nil && !errors.Is(err, errStopped) {
			yield(object.Stored{}, err)
		}
	}
}

// errStopped ends a report whose reader wants no more.
var errStopped = errors.New("no more versions are wanted")

// reportMark is a place in a report: after row rows of the file-th file.
type reportMark struct {
	manifest  string
	file, row int
}

const reportMarkPrefix = "report "

func (m reportMark) String() string {
	return fmt.Sprintf("%s%s %d %d", reportMarkPrefix, url.QueryEscape(m.manifest), m.file, m.row)
}

// parseReportMark tells a place in a report from one in the live listing.
func parseReportMark(text string) (m reportMark, isReport bool, err error) {
	rest, isReport := strings.CutPrefix(text, reportMarkPrefix)
	if !isReport {
		return m, false, nil
	}
	part := strings.Split(rest, " ")
	if len(part) != 3 {
		return m, true, badMark(text)
	}
	var errs [3]error
	m.manifest, errs[0] = url.QueryUnescape(part[0])
	m.file, errs[1] = strconv.Atoi(part[1])
	m.row, errs[2] = strconv.Atoi(part[2])
	if errors.Join(errs[:]...) != nil || m.file < 0 || m.row < 0 {
		return m, true, badMark(text)
	}
	return m, true, nil
}

// dated is how reports are named: by when they were begun.
var dated = regexp.MustCompile(`/(\d{4}-\d\d-\d\dT\d\d-\d\dZ)/$`)

// latest returns the key of the manifest of the latest report that is complete, or "" when
// there is none that is young enough.
func (i *Inventory) latest(ctx context.Context) (string, error) {
	oldest := i.cfg.Now().Add(-i.cfg.MaxAge).UTC().Format("2006-01-02T15-04Z")
	in := &s3.ListObjectsV2Input{
		Bucket: &i.cfg.Bucket, Prefix: aws.String(i.cfg.Prefix + "/"), Delimiter: aws.String("/"),
		StartAfter: aws.String(i.cfg.Prefix + "/" + oldest),
	}
	var reports []string
	for pages := s3.NewListObjectsV2Paginator(i.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", fmt.Errorf("list the inventory reports of %s: %w", i.cfg.Prefix, s3Fault(err))
		}
		for _, p := range page.CommonPrefixes {
			if at := dated.FindStringSubmatch(aws.ToString(p.Prefix)); at != nil && at[1] >= oldest {
				reports = append(reports, aws.ToString(p.Prefix))
			}
		}
	}
	slices.Sort(reports)
	for _, report := range slices.Backward(reports) {
		key := report + "manifest.json"
		found, err := i.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &i.cfg.Bucket, Prefix: &key, MaxKeys: aws.Int32(1)})
		if err != nil {
			return "", fmt.Errorf("look for inventory manifest %s: %w", key, s3Fault(err))
		}
		if len(found.Contents) > 0 && aws.ToString(found.Contents[0].Key) == key {
			return key, nil
		}
	}
	return "", nil
}

// manifest is what S3 says of a report.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
type manifest struct {
	FileFormat string `json:"fileFormat"`
	FileSchema string `json:"fileSchema"`
	Files      []struct {
		Key string `json:"key"`
		MD5 string `json:"MD5checksum"`
	} `json:"files"`
}

// columns are where the values stand in a row. -1: nowhere.
type columns struct{ key, version, marker, size, modified, width int }

func (m manifest) columns() (columns, error) {
	if m.FileFormat != "CSV" {
		return columns{}, fmt.Errorf("its format is %q, want CSV", m.FileFormat)
	}
	names := strings.Split(m.FileSchema, ",")
	at := func(name string) int {
		return slices.IndexFunc(names, func(n string) bool { return strings.TrimSpace(n) == name })
	}
	c := columns{at("Key"), at("VersionId"), at("IsDeleteMarker"), at("Size"), at("LastModifiedDate"), len(names)}
	if slices.Contains([]int{c.key, c.version, c.marker, c.size, c.modified}, -1) {
		return columns{}, fmt.Errorf("its columns are %q, want Key, VersionId, IsDeleteMarker, Size and LastModifiedDate among them", m.FileSchema)
	}
	return c, nil
}

// decode reads a row.
func (c columns) decode(row []string) (object.Stored, error) {
	key, err := url.QueryUnescape(row[c.key])
	if err != nil {
		return object.Stored{}, fmt.Errorf("key %q: %w", row[c.key], err)
	}
	v := object.Stored{Location: object.Location{Key: key, VersionID: row[c.version]}, DeleteMarker: row[c.marker] == "true"}
	if v.ModifiedAt, err = time.Parse(time.RFC3339, row[c.modified]); err != nil {
		return object.Stored{}, fmt.Errorf("modified at: %w", err)
	}
	if v.DeleteMarker {
		return v, nil
	}
	if v.Size, err = strconv.ParseInt(row[c.size], 10, 64); err != nil || v.Size < 0 {
		return object.Stored{}, fmt.Errorf("size %q is no number of bytes", row[c.size])
	}
	return v, nil
}

func (i *Inventory) report(ctx context.Context, at reportMark, yield func(object.Stored, error) bool) error {
	m, err := i.manifest(ctx, at.manifest)
	if err != nil {
		return err
	}
	cols, err := m.columns()
	if err != nil {
		return fmt.Errorf("read inventory manifest %s: %w", at.manifest, err)
	}
	for ; at.file < len(m.Files); at.file, at.row = at.file+1, 0 {
		file := m.Files[at.file]
		if err := i.file(ctx, file.Key, file.MD5, cols, at, yield); err != nil {
			return fmt.Errorf("read inventory file %s: %w", file.Key, err)
		}
	}
	return nil
}

func (i *Inventory) manifest(ctx context.Context, key string) (manifest, error) {
	var m manifest
	out, err := i.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &i.cfg.Bucket, Key: &key})
	if err != nil {
		return m, fmt.Errorf("read inventory manifest %s: %w", key, s3Fault(err))
	}
	defer out.Body.Close()
	if err := json.NewDecoder(io.LimitReader(out.Body, 64*limits.MiB)).Decode(&m); err != nil {
		return m, fmt.Errorf("decode inventory manifest %s: %w", key, err)
	}
	return m, nil
}

// file yields the rows of one file after the mark's. It holds one row at a time.
func (i *Inventory) file(ctx context.Context, key, sum string, cols columns, at reportMark, yield func(object.Stored, error) bool) error {
	out, err := i.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &i.cfg.Bucket, Key: &key})
	if err != nil {
		return s3Fault(err)
	}
	defer out.Body.Close()
	compressed := &summed{Reader: out.Body, hash: md5.New()} //nolint:gosec // see the import
	if err := rows(compressed, cols, at, yield); err != nil {
		return err
	}
	if got := compressed.sum(); got != sum {
		return fault.New(fault.Unavailable, "its MD5 is %s, the manifest says %s", got, sum)
	}
	return nil
}

// rows yields the versions in a compressed file after the mark's row.
func rows(compressed io.Reader, cols columns, at reportMark, yield func(object.Stored, error) bool) error {
	plain, err := gzip.NewReader(compressed)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	read := csv.NewReader(plain)
	read.FieldsPerRecord = cols.width
	read.ReuseRecord = true
	skip := at.row
	for at.row = 1; ; at.row++ {
		row, err := read.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("row %d: %w", at.row, err)
		case at.row <= skip:
			continue
		}
		v, err := cols.decode(row)
		if err != nil {
			return fmt.Errorf("row %d: %w", at.row, err)
		}
		v.Mark = at.String()
		if !v.DeleteMarker && !yield(v, nil) {
			return errStopped
		}
	}
}

// summed hashes what is read.
type summed struct {
	io.Reader
	hash hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.hash.Write(p[:n]) // a hash never fails
	return n, err       //nolint:wrapcheck // io.EOF must stay io.EOF
}

// sum is the hash of all there is to read.
func (s *summed) sum() string {
	_, _ = io.Copy(io.Discard, s) // what is cut off has another sum
	return hex.EncodeToString(s.hash.Sum(nil))
}
