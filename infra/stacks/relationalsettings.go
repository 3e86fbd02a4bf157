package stacks

import (
	"fmt"
	"math"
	"strconv"
)

// RelationalSettings are those of the Relational stack.
type RelationalSettings struct {
	Proxy      bool    // whether an RDS Proxy stands in front of the database
	MinACU     float64 // 0: the database is paused while nobody is connected
	MaxACU     float64
	Readers    int
	BackupDays int
}

// Names of the settings of the Relational stack, as they stand in the context.
const (
	keyRelational        = "relational"
	keyRelationalProxy   = "relationalProxy"
	keyRelationalMinACU  = "relationalMinAcu"
	keyRelationalMaxACU  = "relationalMaxAcu"
	keyRelationalReaders = "relationalReaders"
	keyRelationalBackup  = "relationalBackupDays"
)

// relational reads the settings of the Relational stack; nil when it is not asked for.
// Development pays for the database while it is used, production has it always awake,
// behind a proxy and with somebody to take over. docs/cost.md says what each costs.
func (r *reader) relational(stage Stage) *RelationalSettings {
	if !r.flag(keyRelational, false) {
		for _, key := range []string{keyRelationalProxy, keyRelationalMinACU, keyRelationalMaxACU, keyRelationalReaders, keyRelationalBackup} {
			if _, set := r.context[key]; set {
				r.refuse(key, r.text(key, ""), "set "+keyRelational+"=true too, or leave it out: without the Relational stack it says nothing")
			}
		}
		return nil
	}
	proxy, most, readers, backup := true, 8.0, 1, 14
	if stage == Dev {
		proxy, most, readers, backup = false, 2, 0, 1
	}
	s := &RelationalSettings{Proxy: r.flag(keyRelationalProxy, proxy)}
	least := 0.5 // production pauses only when it is asked to
	if stage == Dev && !s.Proxy {
		least = 0
	}
	s.MinACU = r.capacity(keyRelationalMinACU, least, 0)
	s.MaxACU = r.capacity(keyRelationalMaxACU, most, 1)
	s.Readers = r.number(keyRelationalReaders, readers, 0, 15)
	s.BackupDays = r.number(keyRelationalBackup, backup, 1, 35)
	if s.Proxy && s.MinACU == 0 {
		r.refuse(keyRelationalMinACU, "0", "set it to 0.5 or more, or "+keyRelationalProxy+"=false: the connections of an RDS Proxy keep a database awake, so that it would never pause")
	}
	if s.MinACU > s.MaxACU {
		r.refuse(keyRelationalMinACU, acu(s.MinACU), "set it to at most "+keyRelationalMaxACU+", which is "+acu(s.MaxACU))
	}
	return s
}

func (r *reader) flag(key string, fallback bool) bool {
	return r.oneOf(key, strconv.FormatBool(fallback), "true", "false") == "true"
}

// capacity is a number of ACUs, which come in halves.
func (r *reader) capacity(key string, fallback, low float64) float64 {
	const high = 256
	value := r.text(key, acu(fallback))
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(n) || n < low || n > high || math.Mod(n, 0.5) != 0 {
		r.refuse(key, value, fmt.Sprintf("set it to a number of ACUs from %s to %d, in steps of 0.5", acu(low), high))
		return fallback
	}
	return n
}

func acu(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
