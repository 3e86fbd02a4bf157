package sources_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// splitStream serves a stream as DynamoDB has them and the local engine does not:
// with a shard that was split, expired iterators and trimmed records.
type splitStream struct {
	mu     sync.Mutex
	calls  []string
	expire bool // fail the next GetRecords
	trim   bool // fail the next GetShardIterator that names a sequence number
}

// The parent has records 1 to 3; its children 4 and 5, and 6.
var splitRecords = map[string][]string{"parent": {"1", "2", "3"}, "left": {"4", "5"}, "right": {"6"}}

func (s *splitStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ ShardId, ShardIteratorType, SequenceNumber, ShardIterator, ExclusiveStartShardId string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fail := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, code)
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "ListStreams":
		fmt.Fprint(w, `{"Streams":[{"StreamArn":"old","StreamLabel":"2025"},{"StreamArn":"arn:stream","StreamLabel":"2026"}]}`)
	case "DescribeStream":
		if in.ExclusiveStartShardId == "" { // the children are listed first, on another page
			fmt.Fprint(w, `{"StreamDescription":{"Shards":[{"ShardId":"left","ParentShardId":"parent"},{"ShardId":"right","ParentShardId":"parent"}],"LastEvaluatedShardId":"right"}}`)
		} else {
			fmt.Fprint(w, `{"StreamDescription":{"Shards":[{"ShardId":"parent","ParentShardId":"trimmed long ago"}]}}`)
		}
	case "GetShardIterator":
		if s.trim && in.SequenceNumber != "" {
			s.trim = false
			fail("TrimmedDataAccessException")
			return
		}
		s.calls = append(s.calls, in.ShardId+" "+in.ShardIteratorType+" "+in.SequenceNumber)
		fmt.Fprintf(w, `{"ShardIterator":"%s/%d"}`, in.ShardId, slices.Index(splitRecords[in.ShardId], in.SequenceNumber)+1)
	case "GetRecords":
		if s.expire {
			s.expire = false
			fail("ExpiredIteratorException")
			return
		}
		s.serveRecords(w, in.ShardIterator)
	}
}

// serveRecords gives one record a call, and the end of a shard after its last.
func (s *splitStream) serveRecords(w http.ResponseWriter, iterator string) {
	shard, position, _ := strings.Cut(iterator, "/")
	at, err := strconv.Atoi(position)
	if err != nil || at >= len(splitRecords[shard]) {
		fmt.Fprint(w, `{"Records":[]}`)
		return
	}
	sequence := splitRecords[shard][at]
	fmt.Fprintf(w, `{"Records":[{"eventID":"%[1]s","eventName":"REMOVE","userIdentity":{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"},`+
		`"dynamodb":{"Keys":{"pk":{"S":"a"}},"NewImage":{"pk":{"S":"a"},"n":{"N":"%[1]s"}},"SequenceNumber":"%[1]s"}}],"NextShardIterator":"%[2]s/%[3]d"}`, sequence, shard, at+1)
}

func TestChildShardsFollowTheirParent(t *testing.T) {
	stream := &splitStream{expire: true, trim: true}
	server := httptest.NewServer(stream)
	defer server.Close()
	f := scriptedFunction(func([]record) (string, string, error) {
		time.Sleep(5 * time.Millisecond) // the reader is ahead of the function
		return "null", "", nil
	})
	m := mapping("table")
	m.BatchSize = 1
	cfg := streamConfig(f, m)
	cfg.StreamEndpoint = server.URL
	cfg.CheckpointPath = filepath.Join(t.TempDir(), "checkpoints.db")
	_, stop := runner(t, cfg)
	f.waitFor(t, 6)
	time.Sleep(200 * time.Millisecond) // for the ends of the shards
	stop()
	got := f.names()
	if !slices.Equal(got[:3], []string{"a.1", "a.2", "a.3"}) || slices.Index(got, "a.4") > slices.Index(got, "a.5") {
		t.Errorf("order %v", got)
	}
	// Lambda's name of a member, whatever the API's is.
	if !strings.Contains(f.event(0), `"userIdentity":{"principalId":"dynamodb.amazonaws.com","type":"Service"}`) {
		t.Errorf("event %s", f.event(0))
	}
	// What is finished is not read again.
	stream.mu.Lock()
	stream.calls = nil
	stream.mu.Unlock()
	again := succeeding()
	cfg.Invoker = again
	runner(t, cfg)
	time.Sleep(50 * time.Millisecond)
	stream.mu.Lock()
	defer stream.mu.Unlock()
	if len(again.names()) != 0 || len(stream.calls) != 0 {
		t.Errorf("read again: %v, %v", again.names(), stream.calls)
	}
}

func TestTrimmedRecordsAreGoneAndReadingGoesOn(t *testing.T) {
	stream := &splitStream{}
	server := httptest.NewServer(stream)
	defer server.Close()
	f := succeeding()
	m := mapping("table")
	cfg := streamConfig(f, m)
	cfg.StreamEndpoint = server.URL
	cfg.CheckpointPath = filepath.Join(t.TempDir(), "checkpoints.db")
	first := true
	cfg.Invoker = scriptedFunction(func(batch []record) (string, string, error) {
		if first { // the first record succeeds, the rest waits
			first = false
			return "null", "", nil
		}
		return "", "Unhandled", nil
	})
	_, stop := runner(t, cfg)
	cfg.Invoker.(*scripted).waitFor(t, 3)
	stop()
	stream.mu.Lock()
	stream.trim = true
	stream.mu.Unlock()
	cfg.Invoker = f
	runner(t, cfg)
	eventually(t, "reading stopped", func() bool { return slices.Contains(f.names(), "a.6") })
}

func TestUnreachableEngineIsTriedAgain(t *testing.T) {
	stream := &splitStream{}
	broken := true
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		stream.ServeHTTP(w, r)
	}))
	defer server.Close()
	f := succeeding()
	cfg := streamConfig(f, mapping("table"))
	cfg.StreamEndpoint = server.URL
	runner(t, cfg)
	time.Sleep(100 * time.Millisecond)
	mu.Lock()
	broken = false
	mu.Unlock()
	eventually(t, "it never recovered", func() bool { return len(f.names()) == 6 })
}
