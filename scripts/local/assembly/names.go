package assembly

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// identity is what a resource is called, and what Ref and Fn::GetAtt say of it.
type identity struct {
	account, region, stack, logicalID string
	gateway, endpoint                 string
	databases                         map[string]string // host:port, by attribute
	name                              string
	properties                        map[string]string // those that its kind needs
	ref                               string
	attributes                        map[string]string
}

func (i identity) arn(service, rest string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, i.region, i.account, rest)
}

// globalARN is for services whose ARNs carry no region.
func (i identity) globalARN(service, rest string) string {
	return fmt.Sprintf("arn:aws:%s::%s:%s", service, i.account, rest)
}

const (
	lowerAlphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	alphanumeric      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// token is an id of n characters that stays the same for the same resource.
func (i identity) token(purpose string, n int, alphabet string) string {
	sum := i.digest(purpose)
	out := make([]byte, n)
	for j := range out {
		out[j] = alphabet[int(sum[j])%len(alphabet)]
	}
	return string(out)
}

// uuid is a token in the form of a UUID.
func (i identity) uuid(purpose string) string {
	b := i.digest(purpose)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (i identity) digest(purpose string) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join([]string{i.account, i.region, i.stack, i.logicalID, purpose}, "\x00")))
}

// hashTail is what CDK appends to the readable part of a logical id.
var hashTail = regexp.MustCompile(`^(.+)[0-9A-F]{8}$`)

// generatedNames gives every resource `<stack>-<readable part of its id>`, and
// the whole id where two resources of one type would share a name.
func generatedNames(s *stack, kinds map[string]kind) map[string]string {
	type slot struct{ typ, base string }
	base := func(id string) string {
		if m := hashTail.FindStringSubmatch(id); m != nil {
			return m[1]
		}
		return id
	}
	shared := func(typ, id string) slot { // names that differ in case alone are one where all are lower case
		if kinds[typ].lower {
			id = strings.ToLower(id)
		}
		return slot{typ, id}
	}
	taken := map[slot]int{}
	for id, r := range s.template.Resources {
		taken[shared(r.Type, base(id))]++
	}
	names := make(map[string]string, len(s.template.Resources))
	for _, id := range slices.Sorted(maps.Keys(s.template.Resources)) {
		r := s.template.Resources[id]
		readable := base(id)
		if taken[shared(r.Type, readable)] > 1 {
			readable = id
		}
		names[id] = kinds[r.Type].fit(s.name + "-" + readable)
	}
	return names
}

// fit makes a generated name obey the rules of its service.
func (k kind) fit(name string) string {
	most := k.maxName
	if most == 0 {
		most = 128
	}
	if len(name) > most {
		sum := sha256.Sum256([]byte(name))
		name = name[:most-9] + "-" + hex.EncodeToString(sum[:4])
	}
	if k.lower {
		name = strings.ToLower(name)
	}
	return name
}
