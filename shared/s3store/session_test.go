package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/s3store"
)

// roles gives out numbered sessions of one hour.
type roles struct {
	mu    sync.Mutex
	now   time.Time
	count int
	fails bool
}

func (r *roles) AssumeRole(_ context.Context, in *sts.AssumeRoleInput, _ ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails {
		return nil, errors.New("no answer")
	}
	r.count++
	return &sts.AssumeRoleOutput{Credentials: &types.Credentials{
		AccessKeyId: aws.String(fmt.Sprint("ASIA", r.count)), SecretAccessKey: aws.String("s"), SessionToken: aws.String("t"),
		Expiration: aws.Time(r.now.Add(time.Duration(*in.DurationSeconds) * time.Second)),
	}}, nil
}

func (r *roles) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *roles) set(now time.Time, fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.fails = now, fails
}

func TestSessionRenewsAtHalfLife(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	r := &roles{now: begin}
	session := s3store.NewSession(r, s3store.SessionConfig{RoleARN: testRole, Name: "upload-api", Now: r.clock})
	for _, step := range []struct {
		after time.Duration
		fails bool
		want  string // access key; "" is a failure
	}{
		{0, true, ""},
		{0, false, "ASIA1"},
		{30*time.Minute - 1, false, "ASIA1"},
		{30 * time.Minute, true, "ASIA1"}, // still good for half an hour
		{30 * time.Minute, false, "ASIA2"},
		{60*time.Minute - 1, false, "ASIA2"},
		{88*time.Minute - 1, true, "ASIA2"}, // more than two minutes are left
		{88 * time.Minute, true, ""},
		{88 * time.Minute, false, "ASIA3"},
	} {
		r.set(begin.Add(step.after), step.fails)
		got, err := session.Retrieve(t.Context())
		if got.AccessKeyID != step.want || (err == nil) != (step.want != "") {
			t.Errorf("after %s: got %q, %v; want %q", step.after, got.AccessKeyID, err, step.want)
		}
	}
}

// TestSessionAlwaysHasLifeLeft walks through time at random: a session that is handed out
// has at least half of its life left, and never more sessions are begun than needed.
func TestSessionAlwaysHasLifeLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		begin := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
		r := &roles{now: begin}
		session := s3store.NewSession(r, s3store.SessionConfig{RoleARN: testRole, Name: "upload-api", Now: r.clock})
		for range rapid.IntRange(1, 50).Draw(rt, "steps") {
			now := r.clock().Add(time.Duration(rapid.Int64Range(0, int64(40*time.Minute)).Draw(rt, "wait")))
			r.set(now, false)
			creds, err := session.Retrieve(t.Context())
			if err != nil {
				rt.Fatal(err)
			}
			if left := creds.Expires.Sub(now); left <= 30*time.Minute {
				rt.Fatalf("handed out a session with %s left", left)
			}
		}
		if most := int(r.clock().Sub(begin)/(30*time.Minute)) + 1; r.count > most {
			rt.Fatalf("began %d sessions in %s", r.count, r.clock().Sub(begin))
		}
	})
}

func TestSessionBeginsOnceForMany(t *testing.T) {
	t.Parallel()
	r := &roles{now: time.Now()}
	session := s3store.NewSession(r, s3store.SessionConfig{RoleARN: testRole, Name: "upload-api", Now: r.clock})
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if _, err := session.Retrieve(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if r.count != 1 {
		t.Errorf("began %d sessions, want 1", r.count)
	}
}
