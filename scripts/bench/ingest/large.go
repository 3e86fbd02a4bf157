package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"math/bits"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

const (
	// largePart is how much of the large object is sent at a time.
	largePart = 128 << 20
	// mostCalls and mostRSS are the figures to hold.
	mostCalls = 6
	mostRSS   = 48 << 20
	// nvme is the polynomial of CRC-64/NVME.
	nvme = 0xad93d23594c93659
)

// calls counts what goes through two proxies.
type calls struct {
	mu   sync.Mutex
	made []string
}

// watch stands before an engine and notes each call that is made to it.
func (c *calls) watch(ctx context.Context, endpoint string, name func(*http.Request) string) (_ string, closer io.Closer, err error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return "", nil, fmt.Errorf("read the engine's address: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen: %w", err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
		c.mu.Lock()
		defer c.mu.Unlock()
		c.made = append(c.made, name(r.In))
	}}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return "http://" + listener.Addr().String(), server, nil
}

func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.made
	c.made = nil
	return made
}

// compareSizes ingests a small and a large object, each with a process of its own, and
// prints calls and memory. It fails when the large one takes other calls, or more than the
// figures allow.
func compareSizes(ctx context.Context, size int64) (err error) {
	dir, err := os.MkdirTemp("", "ingest-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	function, err := subject.BuildFunction(ctx, dir, "s3-ingest")
	if err != nil {
		return err
	}
	e, err := startEngines(ctx, dir, "bench-go")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	var made calls
	dynamodbURL, closeDynamoDB, err := made.watch(ctx, e.catalog.Endpoint(), func(r *http.Request) string {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		return operation
	})
	if err != nil {
		return err
	}
	defer closeDynamoDB.Close()
	s3URL, closeS3, err := made.watch(ctx, e.s3.Endpoint(), func(r *http.Request) string {
		if _, tagging := r.URL.Query()["tagging"]; tagging {
			return r.Method + " tagging"
		}
		return r.Method + " object"
	})
	if err != nil {
		return err
	}
	defer closeS3.Close()

	small, err := e.put(ctx, "bench-go", 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "sending %d GiB to the engine\n", size>>30)
	large, err := e.putLarge(ctx, "bench-go", 2, size)
	if err != nil {
		return err
	}
	var all [][]string
	fmt.Printf("s3-ingest, one object by a new process\n%14s  %12s  %s\n", "bytes", "peak RSS", "calls")
	for _, o := range []arrived{small, large} {
		rss, err := ingestAlone(ctx, o, subject.Config{
			Name: "function", Command: function, Env: e.environment(dynamodbURL, s3URL), Wanted: allDone,
		})
		if err != nil {
			return err
		}
		took := made.take()
		fmt.Printf("%14d  %8.1f MiB  %d: %s\n", o.size, float64(rss)/(1<<20), len(took), strings.Join(took, ", "))
		slices.Sort(took)
		all = append(all, took)
		if rss > mostRSS || len(took) > mostCalls {
			return fmt.Errorf("%d bytes took %d calls and %d bytes of memory, the most is %d and %d", o.size, len(took), rss, mostCalls, mostRSS)
		}
	}
	if !slices.Equal(all[0], all[1]) {
		return fmt.Errorf("the calls differ: %v and %v", all[0], all[1])
	}
	return nil
}

// ingestAlone has a new process ingest one object, and returns the most memory that it held.
func ingestAlone(ctx context.Context, o arrived, cfg subject.Config) (rss int64, err error) {
	text, err := event([]arrived{o})
	if err != nil {
		return 0, err
	}
	s, err := subject.Start(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Invoke(ctx, text); err != nil {
		return 0, err
	}
	return s.PeakRSS()
}

// putLarge opens a multipart upload with a declared checksum and stores its bytes: a
// picture's first, and zeros.
func (e *engines) putLarge(ctx context.Context, workspace string, n, size int64) (arrived, error) {
	u := newUpload(workspace, n)
	u.Size, u.Mode, u.PartSize = size, upload.Multipart, largePart
	u.CRC64NVME = checksum(size)
	u, err := e.catalog.Store.OpenUpload(ctx, catalogdb.Workspace(workspace), u)
	if err != nil {
		return arrived{}, fmt.Errorf("open an upload: %w", err)
	}
	bucket := aws.String(contentBucket)
	begun, err := e.objects.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{
		Bucket: bucket, Key: &u.S3Key, ContentType: &u.ContentType,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		return arrived{}, fmt.Errorf("begin a multipart upload: %w", err)
	}
	part := make([]byte, largePart)
	copy(part, picture)
	var parts []types.CompletedPart
	for at := int64(0); at < size; at += largePart {
		number := aws.Int32(int32(at/largePart) + 1)
		sent, err := e.objects.UploadPart(ctx, &awss3.UploadPartInput{
			Bucket: bucket, Key: &u.S3Key, UploadId: begun.UploadId, PartNumber: number,
			Body: bytes.NewReader(part[:min(largePart, size-at)]), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		})
		if err != nil {
			return arrived{}, fmt.Errorf("send part %d: %w", *number, err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: number, ETag: sent.ETag, ChecksumCRC64NVME: sent.ChecksumCRC64NVME})
		clear(part[:len(picture)])
	}
	out, err := e.objects.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: &u.S3Key, UploadId: begun.UploadId, ChecksumType: types.ChecksumTypeFullObject, ChecksumCRC64NVME: &u.CRC64NVME,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return arrived{}, fmt.Errorf("complete a multipart upload: %w", err)
	}
	return arrived{object.Location{Key: u.S3Key, VersionID: aws.ToString(out.VersionId)}, size}, nil
}

// checksum is the CRC-64/NVME of what putLarge sends, as S3 writes it.
func checksum(size int64) string {
	table := crc64.MakeTable(bits.Reverse64(nvme))
	chunk := make([]byte, 1<<20)
	copy(chunk, picture)
	var sum uint64
	for at := int64(0); at < size; at += int64(len(chunk)) {
		sum = crc64.Update(sum, table, chunk[:min(int64(len(chunk)), size-at)])
		clear(chunk[:len(picture)])
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}
