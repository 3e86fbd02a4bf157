// Package migrations holds the schema of the relational store as goose migrations.
//
// They only ever add to what is there (expand), and remove in a later release what no
// code uses any more (contract): while a deploy is under way, functions of the version
// before work on the new schema. There is no way down: a migration that was wrong is
// followed by one that corrects it.
//
// A statement waits 2 s for a lock; then its migration begins anew, after a pause. Only the
// building of an index beside the writers must wait for as long as it takes: refused on the
// way it would leave an invalid index. Such a migration has no transaction, all of it may run
// again, and it keeps an index that somebody has built by hand (see 00003_confined.sql).
package migrations

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// FS holds the migrations: <version>_<name>.sql.
//
//go:embed *.sql
var FS embed.FS

// Hash returns a digest of all migrations: it changes when one is added.
func Hash() string {
	names, err := fs.Glob(FS, "*.sql") // sorted
	if err != nil {
		panic(fmt.Sprintf("list the embedded migrations: %v", err)) // the pattern is good
	}
	h := sha256.New()
	for _, name := range names {
		text, err := FS.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("read the embedded migration %s: %v", name, err))
		}
		_, _ = io.WriteString(h, name+"\x00"+strconv.Itoa(len(text))+"\x00") // a hash takes everything
		_, _ = h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Latest returns the version of the newest migration.
func Latest() int64 {
	names, err := fs.Glob(FS, "*.sql")
	if err != nil || len(names) == 0 {
		panic("there are no embedded migrations")
	}
	version, err := strconv.ParseInt(strings.SplitN(names[len(names)-1], "_", 2)[0], 10, 64)
	if err != nil {
		panic(fmt.Sprintf("version of the embedded migration %s: %v", names[len(names)-1], err))
	}
	return version
}
