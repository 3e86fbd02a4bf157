package s3store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

const reports = "inventory/content/versions"

// reportBucket serves objects as S3 does: GET, and lists by prefix, with or without a
// delimiter.
type reportBucket map[string][]byte

func (b reportBucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/reports/")
	if r.URL.Query().Get("list-type") == "" {
		body, ok := b[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<Error><Code>NoSuchKey</Code></Error>`)
			return
		}
		_, _ = w.Write(body)
		return
	}
	prefix, delimiter, after := r.URL.Query().Get("prefix"), r.URL.Query().Get("delimiter"), r.URL.Query().Get("start-after")
	fmt.Fprint(w, `<ListBucketResult>`)
	seen := map[string]bool{}
	for key := range b {
		rest, found := strings.CutPrefix(key, prefix)
		folder, _, nested := strings.Cut(rest, "/")
		switch {
		case !found || key <= after:
		case delimiter != "" && nested:
			if !seen[folder] {
				seen[folder] = true
				fmt.Fprintf(w, `<CommonPrefixes><Prefix>%s%s/</Prefix></CommonPrefixes>`, prefix, folder)
			}
		default:
			fmt.Fprintf(w, `<Contents><Key>%s</Key></Contents>`, key)
		}
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

var reportTime = time.Date(2026, 11, 3, 1, 0, 0, 0, time.UTC)

func (b reportBucket) inventory(t *testing.T, live *Contents) *Inventory {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	now := func() time.Time { return reportTime.Add(20 * time.Hour) }
	return NewInventory(client, InventoryConfig{Bucket: "reports", Prefix: reports, Now: now}, live)
}

// report writes a report as S3 Inventory does, with so many rows to a file.
func (b reportBucket) report(at time.Time, versions []object.Stored, perFile int) {
	folder := reports + "/" + at.Format("2006-01-02T15-04Z") + "/"
	m := map[string]any{
		"sourceBucket": "content", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
		"creationTimestamp": strconv.FormatInt(at.UnixMilli(), 10), "fileFormat": "CSV",
		"fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate",
	}
	var files []map[string]any
	for i := 0; i < len(versions); i += perFile {
		body := reportFile(versions[i:min(i+perFile, len(versions))])
		sum := md5.Sum(body)
		key := fmt.Sprintf("%s/data/%s-%d.csv.gz", reports, at.Format("20060102"), i)
		b[key] = body
		files = append(files, map[string]any{"key": key, "size": len(body), "MD5checksum": hex.EncodeToString(sum[:])})
	}
	m["files"] = files
	b[folder+"manifest.json"], _ = json.Marshal(m)
	b[folder+"manifest.checksum"] = []byte("x")
}

func reportFile(versions []object.Stored) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	rows := csv.NewWriter(zip)
	for _, v := range versions {
		size := strconv.FormatInt(v.Size, 10)
		if v.DeleteMarker {
			size = ""
		}
		_ = rows.Write([]string{"content", url.QueryEscape(v.Key), v.VersionID, "true", strconv.FormatBool(v.DeleteMarker), size, v.ModifiedAt.Format("2006-01-02T15:04:05.000Z")})
	}
	rows.Flush()
	_ = zip.Close()
	return out.Bytes()
}

// collect lists all versions after a mark.
func collect(i *Inventory, after string) (all []object.Stored, err error) {
	for v, err := range i.Versions(context.Background(), after) {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestReportsFromAnyPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		versions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) object.Stored {
			return object.Stored{
				Location:     object.Location{Key: "c/" + rapid.String().Draw(t, "key"), VersionID: rapid.StringMatching(`[A-Za-z0-9._]{1,12}`).Draw(t, "version")},
				Size:         rapid.Int64Range(0, 1<<40).Draw(t, "size"),
				ModifiedAt:   time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "modified")).UTC(),
				DeleteMarker: rapid.IntRange(0, 5).Draw(t, "marker") == 0,
			}
		}), 0, 12).Draw(rt, "versions")
		b := reportBucket{}
		b.report(reportTime, versions, rapid.IntRange(1, 5).Draw(rt, "rows to a file"))
		b.report(reportTime.Add(-24*time.Hour), nil, 1)
		i := b.inventory(t, nil)

		all, err := collect(i, "")
		if err != nil {
			rt.Fatal(err)
		}
		var want []object.Stored
		for _, v := range versions {
			if !v.DeleteMarker {
				want = append(want, v)
			}
		}
		if len(all) != len(want) {
			rt.Fatalf("%d versions, want %d", len(all), len(want))
		}
		for n := range want {
			want[n].Mark = all[n].Mark
			if diff := cmp.Diff(want[n], all[n]); diff != "" {
				rt.Fatalf("version %d:\n%s", n, diff)
			}
			rest, err := collect(i, all[n].Mark)
			if err != nil || len(rest) != len(all)-n-1 || len(rest) > 0 && rest[0] != all[n+1] {
				rt.Fatalf("after version %d of %d: %v, %v", n, len(all), rest, err)
			}
		}
	})
}

func TestWhichReport(t *testing.T) {
	t.Parallel()
	one := func(key string) []object.Stored {
		return []object.Stored{{Location: object.Location{Key: key, VersionID: "v"}, ModifiedAt: reportTime}}
	}
	b := reportBucket{}
	b.report(reportTime.Add(-24*time.Hour), one("yesterday"), 1)
	b.report(reportTime, one("today"), 1)
	b.report(reportTime.Add(-30*24*time.Hour), one("old"), 1)
	b[reports+"/2026-11-03T09-00Z/manifest.checksum"] = []byte("not yet complete")
	b[reports+"/hive/dt=2026-11-03-01-00/symlink.txt"] = nil
	if all, err := collect(b.inventory(t, nil), ""); err != nil || len(all) != 1 || all[0].Key != "today" {
		t.Errorf("listed %v, %v", all, err)
	}
	// A pass that began with one report goes on with it.
	m := reportMark{manifest: reports + "/2026-11-02T01-00Z/manifest.json"}
	if all, err := collect(b.inventory(t, nil), m.String()); err != nil || len(all) != 1 || all[0].Key != "yesterday" {
		t.Errorf("listed %v, %v", all, err)
	}
	m.manifest = reports + "/2026-10-01T01-00Z/manifest.json"
	if _, err := collect(b.inventory(t, nil), m.String()); !fault.Is(err, fault.NotFound) {
		t.Errorf("a report that is gone: %v", err)
	}
	for _, mark := range []string{"report ", "report x 1", "report x -1 0", "report x 0 y", "report %zz 0 0"} {
		if _, err := collect(b.inventory(t, nil), mark); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("mark %q: %v", mark, err)
		}
	}
}

func TestSpoiltReports(t *testing.T) {
	t.Parallel()
	version := object.Stored{Location: object.Location{Key: "c/k", VersionID: "v"}, Size: 1, ModifiedAt: reportTime}
	for name, spoil := range map[string]func(b reportBucket, manifest, file string){
		"another format":      func(b reportBucket, m, _ string) { b[m] = bytes.Replace(b[m], []byte("CSV"), []byte("ORC"), 1) },
		"a column missing":    func(b reportBucket, m, _ string) { b[m] = bytes.Replace(b[m], []byte(", Size"), nil, 1) },
		"no JSON":             func(b reportBucket, m, _ string) { b[m] = []byte("{") },
		"a file cut off":      func(b reportBucket, _, f string) { b[f] = b[f][:len(b[f])/2] },
		"a file missing":      func(b reportBucket, _, f string) { delete(b, f) },
		"other bytes":         func(b reportBucket, _, f string) { b[f] = reportFile([]object.Stored{version, version}) },
		"bytes after the end": func(b reportBucket, _, f string) { b[f] = append(b[f], "x"...) },
		"a negative size":     func(b reportBucket, _, f string) { v := version; v.Size = -1; b[f] = reportFile([]object.Stored{v}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := reportBucket{}
			b.report(reportTime, []object.Stored{version}, 1)
			spoil(b, reports+"/2026-11-03T01-00Z/manifest.json", reports+"/data/20261103-0.csv.gz")
			if all, err := collect(b.inventory(t, nil), ""); err == nil {
				t.Errorf("read as %v", all)
			}
		})
	}
}

func FuzzReportRows(f *testing.F) {
	f.Add([]byte(`content,c%2Fk+1,v,true,false,12,2026-11-03T01:00:00.000Z`), 0)
	f.Add([]byte("content,\"c/k\nl\",v,true,true,,2026-11-03T01:00:00.000Z\n"), 1)
	f.Add([]byte(`,,,,,,`), 0)
	cols := columns{key: 1, version: 2, marker: 4, size: 5, modified: 6, width: 7}
	f.Fuzz(func(t *testing.T, text []byte, skip int) {
		var compressed bytes.Buffer
		zip := gzip.NewWriter(&compressed)
		_, _ = zip.Write(text)
		_ = zip.Close()
		row := 0
		err := rows(&compressed, cols, reportMark{manifest: "m", row: max(skip, 0)}, func(v object.Stored, err error) bool {
			at, isReport, markErr := parseReportMark(v.Mark)
			if err != nil || markErr != nil || !isReport || at.row <= max(skip, 0) || at.row <= row || v.Size < 0 || v.DeleteMarker || v.ModifiedAt.IsZero() && v.ModifiedAt.Year() != 1 {
				t.Errorf("yields %+v, %v, %v", v, err, markErr)
			}
			row = at.row
			return true
		})
		_ = err // refused rows end the listing
	})
}

func FuzzReportFile(f *testing.F) {
	f.Add(reportFile([]object.Stored{{Location: object.Location{Key: "c/k"}, ModifiedAt: reportTime}}))
	f.Add([]byte("x"))
	cols := columns{key: 1, version: 2, marker: 4, size: 5, modified: 6, width: 7}
	f.Fuzz(func(_ *testing.T, file []byte) {
		_ = rows(io.LimitReader(bytes.NewReader(file), 1<<20), cols, reportMark{}, func(object.Stored, error) bool { return true })
	})
}
