package s3_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// hangUp sends half of a signed request's body and closes the connection.
func hangUp(t *testing.T, method, signed string, header http.Header, length int) {
	t.Helper()
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, u.RequestURI(), u.Host)
	for name, values := range header {
		if name != "Host" && name != "Content-Length" {
			fmt.Fprintf(conn, "%s: %s\r\n", name, strings.Join(values, ","))
		}
	}
	fmt.Fprintf(conn, "Content-Length: %d\r\n\r\n", length)
	if _, err := io.WriteString(conn, strings.Repeat("x", length/2)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // let the server read it
}

// TestWhatWasCutOffIsNotKept: a client that hangs up in the middle leaves nothing, as on S3.
func TestWhatWasCutOffIsNotKept(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	c := e.client()
	presigner := awss3.NewPresignClient(c)
	const length = 5 << 20

	up, err := c.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String("parts")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := presigner.PresignUploadPart(t.Context(), &awss3.UploadPartInput{
		Bucket: aws.String(bucket), Key: aws.String("parts"), UploadId: up.UploadId, PartNumber: aws.Int32(1), ContentLength: aws.Int64(length),
	})
	if err != nil {
		t.Fatal(err)
	}
	hangUp(t, part.Method, part.URL, part.SignedHeader, length)
	put, err := presigner.PresignPutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("whole"), ContentLength: aws.Int64(length)})
	if err != nil {
		t.Fatal(err)
	}
	hangUp(t, put.Method, put.URL, put.SignedHeader, length)

	time.Sleep(300 * time.Millisecond) // the engine notices on its own time
	parts, err := c.ListParts(t.Context(), &awss3.ListPartsInput{Bucket: aws.String(bucket), Key: aws.String("parts"), UploadId: up.UploadId})
	if err != nil {
		t.Fatal(err)
	}
	if len(parts.Parts) != 0 {
		t.Errorf("half a part was kept: %+v", parts.Parts)
	}
	if _, err := c.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("whole")}); err == nil {
		t.Error("half an object was kept")
	}
	expect(t, e)
}
