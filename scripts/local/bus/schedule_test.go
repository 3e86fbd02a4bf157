package bus_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

// In a synctest bubble time begins at midnight UTC, 1 January 2000, a Saturday.

func TestAScheduledRuleFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		arn := "arn:aws:events:eu-west-1:000000000000:rule/sweep"
		cfg.Rules = []bus.Rule{
			{Name: "sweep", ARN: arn, Schedule: "rate(5 minutes)", Targets: []bus.Target{{ID: "f", ARN: functionARN}}},
			{Name: "off", ARN: arn, Schedule: "rate(1 minute)", Disabled: true, Targets: []bus.Target{{ID: "q", ARN: queueARN}}},
		}
		start(t, cfg)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		want := []string{
			`{"version":"0","id":"id-1","detail-type":"Scheduled Event","source":"aws.events","account":"000000000000","time":"2000-01-01T00:05:00Z","region":"eu-west-1","resources":["` + arn + `"],"detail":{}}`,
			`{"version":"0","id":"id-2","detail-type":"Scheduled Event","source":"aws.events","account":"000000000000","time":"2000-01-01T00:10:00Z","region":"eu-west-1","resources":["` + arn + `"],"detail":{}}`,
		}
		if diff := cmp.Diff(want, r.got(functionARN)); diff != "" {
			t.Errorf("fired (-want +got):\n%s", diff)
		}
		if got := r.got(queueARN); got != nil {
			t.Errorf("a disabled rule fired: %q", got)
		}
	})
}

func TestSchedulerFires(t *testing.T) {
	clock := func(hour, minute int) time.Time { return time.Date(2000, 1, 1, hour, minute, 0, 0, time.UTC) }
	tests := []struct {
		name     string
		schedule bus.Schedule
		want     []string // within three hours
	}{
		{"a rate starts at once", bus.Schedule{Expression: "rate(1 hour)"}, []string{"00:00", "01:00", "02:00", "03:00"}},
		{"a rate counts from its start date", bus.Schedule{Expression: "rate(2 hours)", Start: clock(0, 30)}, []string{"00:30", "02:30"}},
		{"a rate that began in the past keeps its beat", bus.Schedule{Expression: "rate(1 hour)", Start: clock(0, 0).Add(-90 * time.Minute)}, []string{"00:30", "01:30", "02:30"}},
		{"until its end date", bus.Schedule{Expression: "rate(1 hour)", End: clock(1, 0)}, []string{"00:00", "01:00"}},
		{"an end in the past", bus.Schedule{Expression: "rate(1 hour)", End: clock(0, 0).Add(-1)}, nil},
		{"cron in a time zone", bus.Schedule{Expression: "cron(30 2 * * ? *)", TimeZone: "Europe/Berlin"}, []string{"01:30"}},
		{"cron at its start date", bus.Schedule{Expression: "cron(0 * * * ? *)", Start: clock(2, 0)}, []string{"02:00", "03:00"}},
		{"once", bus.Schedule{Expression: "at(2000-01-01T03:15:00)", TimeZone: "Europe/Berlin"}, []string{"02:15"}},
		{"once, long ago", bus.Schedule{Expression: "at(1999-01-01T00:00:00)"}, nil},
		{"disabled", bus.Schedule{Expression: "rate(1 hour)", Disabled: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r targets
				cfg := config(t, &r)
				tt.schedule.Name, tt.schedule.Target.ARN = "s", queueARN
				cfg.Schedules = []bus.Schedule{tt.schedule}
				start(t, cfg)
				time.Sleep(3*time.Hour + time.Second)
				synctest.Wait()
				var got []string
				for _, at := range r.times {
					got = append(got, at.UTC().Format("15:04"))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("fired (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestSchedulerFillsInItsAttributesAndDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := targets{fail: func(_ string, attempt int) error {
			if attempt < 2 || attempt > 2 {
				return errors.New("busy")
			}
			return nil
		}}
		cfg := config(t, &r)
		cfg.Backoff = func(int) time.Duration { return time.Second }
		none := 1
		cfg.Schedules = []bus.Schedule{{
			Name: "s", ARN: "arn:s", Expression: "rate(1 hour)", End: time.Now().Add(time.Hour),
			Target: bus.Target{
				ARN: queueARN, DeadLetterARN: dlqARN, Retry: bus.RetryPolicy{MaxAttempts: &none},
				Input: `<aws.scheduler.schedule-arn> <aws.scheduler.scheduled-time> <aws.scheduler.execution-id> <aws.scheduler.attempt-number>`,
			},
		}}
		start(t, cfg)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"arn:s 2000-01-01T00:00:00Z id-1 2"}, r.got(queueARN)); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		want := []deadLetter{{dlqARN, "arn:s 2000-01-01T01:00:00Z id-2 <aws.scheduler.attempt-number>", map[string]string{
			"SCHEDULE_ARN": "arn:s", "EXECUTION_ID": "id-2", "SCHEDULED_TIME": "2000-01-01T01:00:00Z", "TARGET_ARN": queueARN,
			"ERROR_CODE": "ERROR_FROM_TARGET", "ERROR_MESSAGE": "busy", "RETRY_ATTEMPTS": "1",
			"EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "IS_PAYLOAD_TRUNCATED": "false",
		}}}
		if diff := cmp.Diff(want, r.dead); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	})
}
