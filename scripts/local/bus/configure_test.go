package bus_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

func declared(cfg bus.Config) bus.Declared {
	return bus.Declared{Buses: cfg.Buses, Rules: cfg.Rules, Archives: cfg.Archives, Schedules: cfg.Schedules}
}

func TestConfigureRoutesByTheNewRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		b := start(t, cfg)
		put(t, b, order(`{"n":1}`))
		next := declared(cfg)
		next.Buses = append(next.Buses, bus.EventBus{Name: "more", ARN: "arn:more"})
		next.Rules = []bus.Rule{
			{Name: "orders", ARN: ruleARN, Bus: "app", Pattern: json.RawMessage(`{"source":["shop"]}`), Targets: []bus.Target{{ID: "fn", ARN: functionARN}}},
			{Name: "added", ARN: "arn:added", Bus: "more", Pattern: json.RawMessage(`{"source":["shop"]}`), Targets: []bus.Target{{ID: "q", ARN: queueARN}}},
		}
		if err := b.Configure(next); err != nil {
			t.Fatal(err)
		}
		put(t, b, order(`{"n":2}`))
		put(t, b, bus.Entry{Bus: "more", Source: "shop", DetailType: "Order", Detail: json.RawMessage(`{"n":3}`)})
		synctest.Wait()
		if got := strings.Join(r.got(queueARN), ""); !strings.Contains(got, `{"n":1}`) || strings.Contains(got, `{"n":2}`) || !strings.Contains(got, `{"n":3}`) {
			t.Errorf("the queue has %s", got)
		}
		if got := strings.Join(r.got(functionARN), ""); !strings.Contains(got, `{"n":2}`) || strings.Contains(got, `{"n":1}`) {
			t.Errorf("the function has %s", got)
		}
	})
}

func TestConfigureLetsSchedulesThatStayKeepTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		cfg.NewID = nil // two schedules fire at once
		hourly := bus.Rule{Name: "hourly", ARN: "arn:hourly", Schedule: "rate(1 hour)", Targets: []bus.Target{{ID: "q", ARN: queueARN}}}
		cfg.Rules = []bus.Rule{hourly}
		b := start(t, cfg)
		time.Sleep(40 * time.Minute)
		next := declared(cfg)
		next.Rules = []bus.Rule{hourly, {Name: "often", ARN: "arn:often", Schedule: "rate(10 minutes)", Targets: []bus.Target{{ID: "fn", ARN: functionARN}}}}
		if err := b.Configure(next); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if hourly, often := len(r.got(queueARN)), len(r.got(functionARN)); hourly != 1 || often != 2 {
			t.Errorf("hourly fired %d times, want 1; every ten minutes %d times, want 2", hourly, often)
		}
		if err := b.Configure(declared(bus.Config{})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if hourly, often := len(r.got(queueARN)), len(r.got(functionARN)); hourly != 1 || often != 2 {
			t.Errorf("schedules that are gone fired: %d, %d", hourly, often)
		}
	})
}

func TestConfigureRefusesAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		b := start(t, cfg)
		next := declared(cfg)
		next.Rules = append([]bus.Rule{{Name: "wrong", Bus: "app", Pattern: json.RawMessage(`{"source":[{"sounds-like":"x"}]}`)}}, next.Rules...)
		if err := b.Configure(next); err == nil || !strings.Contains(err.Error(), "rule wrong") {
			t.Errorf("err = %v", err)
		}
		put(t, b, order(`{"n":1}`))
		synctest.Wait()
		if len(r.got(queueARN)) != 1 {
			t.Errorf("the old rule is gone: %v", r.got(queueARN))
		}
	})
}
