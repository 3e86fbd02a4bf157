package ledger_test

import (
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
)

func ExampleBook() {
	noon := time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)
	stored := ledger.Fact{Object: "O1", Rev: 1, At: noon, Class: ledger.Standard, Bytes: 100}
	purged := ledger.Fact{Object: "O1", Rev: 3, At: noon.Add(2 * time.Hour), Class: ledger.Standard}
	// A new version, which comes last although it was second:
	version := ledger.Fact{Object: "O1", Rev: 2, At: noon.Add(time.Hour), Class: ledger.Standard, Bytes: 150}

	for _, m := range ledger.Book(&stored, version, &purged) {
		fmt.Println(m.At.Format(time.TimeOnly), m.Class, m.Bytes)
	}
	// Output:
	// 13:00:00 STANDARD 50
	// 14:00:00 STANDARD -50
}

func ExampleParsePeriod() {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	day, _ := ledger.ParsePeriod("2026-10-25", berlin)
	fmt.Println(day.Duration(), ledger.Held(1000, day.Duration()).ByteHours())
	// Output: 25h0m0s 25000
}
