package secrets

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// Generate is how a secret's first value is made: GenerateSecretString of AWS::SecretsManager::Secret
// (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-secretsmanager-secret-generatesecretstring.html).
type Generate struct {
	Length                int // zero: 32
	ExcludeCharacters     string
	ExcludeLowercase      bool
	ExcludeUppercase      bool
	ExcludeNumbers        bool
	ExcludePunctuation    bool
	IncludeSpace          bool
	AllowEachIncludedType bool // RequireEachIncludedType is false: not every kind of character need occur
	SecretStringTemplate  string
	GenerateStringKey     string
}

// Characters of each kind.
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// Lengths of passwords.
const (
	defaultLength = 32
	maxLength     = 4096
)

// secretString is the generated password, or the template with the password as one of its members.
func (g Generate) secretString(random io.Reader) (string, error) {
	if (g.SecretStringTemplate == "") != (g.GenerateStringKey == "") {
		return "", errors.New("GenerateSecretString: SecretStringTemplate and GenerateStringKey go together")
	}
	password, err := g.password(random)
	if err != nil || g.SecretStringTemplate == "" {
		return password, err
	}
	members := map[string]any{}
	if err := json.Unmarshal([]byte(g.SecretStringTemplate), &members); err != nil {
		return "", fmt.Errorf("GenerateSecretString: SecretStringTemplate is not a JSON object: %w", err)
	}
	members[g.GenerateStringKey] = password
	value, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("GenerateSecretString: %w", err)
	}
	return string(value), nil
}

func (g Generate) password(random io.Reader) (string, error) {
	length := g.Length
	if length == 0 {
		length = defaultLength
	}
	kinds := g.kinds()
	all := strings.Join(kinds, "")
	switch {
	case length < 0 || length > maxLength:
		return "", fmt.Errorf("the password length %d is not between 1 and %d", length, maxLength)
	case all == "":
		return "", errors.New("every character is excluded from the password")
	case !g.AllowEachIncludedType && length < len(kinds):
		return "", fmt.Errorf("a password of %d characters cannot hold one of each of %d kinds", length, len(kinds))
	}
	password := make([]byte, 0, length)
	if !g.AllowEachIncludedType {
		for _, kind := range kinds {
			c, err := pick(random, kind)
			if err != nil {
				return "", err
			}
			password = append(password, c)
		}
	}
	for len(password) < length {
		c, err := pick(random, all)
		if err != nil {
			return "", err
		}
		password = append(password, c)
	}
	for i := len(password) - 1; i > 0; i-- { // shuffle: the first characters are one of each kind
		j, err := below(random, i+1)
		if err != nil {
			return "", err
		}
		password[i], password[j] = password[j], password[i]
	}
	return string(password), nil
}

// kinds are the characters to choose from, by kind; kinds of which nothing is left are left out.
func (g Generate) kinds() []string {
	var kinds []string
	for _, k := range []struct {
		characters string
		excluded   bool
	}{
		{lowercase, g.ExcludeLowercase},
		{uppercase, g.ExcludeUppercase},
		{numbers, g.ExcludeNumbers},
		{punctuation, g.ExcludePunctuation},
		{" ", !g.IncludeSpace},
	} {
		left := strings.Map(func(c rune) rune {
			if k.excluded || strings.ContainsRune(g.ExcludeCharacters, c) {
				return -1
			}
			return c
		}, k.characters)
		if left != "" {
			kinds = append(kinds, left)
		}
	}
	return kinds
}

func pick(random io.Reader, from string) (byte, error) {
	i, err := below(random, len(from))
	if err != nil {
		return 0, err
	}
	return from[i], nil
}

func below(random io.Reader, n int) (int, error) {
	i, err := rand.Int(random, big.NewInt(int64(n)))
	if err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return int(i.Int64()), nil
}
