package stacks

import (
	"fmt"
	"slices"
	"strings"
)

// maxTypos is how many letters a key may be off and still be taken for one of ours.
const maxTypos = 2

// misspelt refuses context keys that nearly are the name of a setting: the
// mistake would otherwise deploy the default without a word. Other keys are
// left alone, for the CDK and its plugins keep theirs in the same place.
func (r *reader) misspelt() {
	keys := []string{
		keyStage, keyRegion, keyLogLevel, keyOrigins, keyCallbackURLs, keyLogoutURLs, keyIssuer, keyAudience,
		keyKeepNoncurrent, keyArchiveDays, keyLogRetentionDays, keyAPIRate, keyAPIBurst, keyIngestConcurrency, keyAlarmEmail,
		keyScanner, keyClamdAddress, keyClamdMaxMiB, keyClamdSubnets, keyClamdSecurityGroups,
		keyRelational, keyRelationalProxy, keyRelationalMinACU, keyRelationalMaxACU, keyRelationalReaders, keyRelationalBackup,
	}
	given := make([]string, 0, len(r.context))
	for key := range r.context {
		given = append(given, key)
	}
	slices.Sort(given)
	for _, key := range given {
		if slices.Contains(keys, key) {
			continue
		}
		for _, known := range keys {
			if distance(strings.ToLower(key), strings.ToLower(known)) <= maxTypos {
				r.errs = append(r.errs, fmt.Errorf("context %s is not a setting: write %s", key, known))
				break
			}
		}
	}
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := diagonal
			if a[i-1] != b[j-1] {
				replaced++
			}
			diagonal = row[j]
			row[j] = min(replaced, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
