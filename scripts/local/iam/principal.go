package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// principals are the Principal or NotPrincipal of a statement.
type principals struct {
	not      bool
	everyone bool
	aws      []string // ARNs, or unique ids
	accounts []string
	services []string
}

// reach is how a statement reaches a principal. What a policy of the resource's own account grants to
// an account as a whole, the account's policies must pass on; what it grants to a role, the boundary
// and the session's policies limit; what it grants to a session, a user or to everyone, nothing limits
// but an explicit deny. ("The difference for same-account principals" under "Policy evaluation logic".)
type reach int

const (
	notReached reach = iota
	viaAccount
	viaRole
	directly
)

func compilePrincipals(kind Kind, principal, notPrincipal json.RawMessage) (*principals, error) {
	if !kind.hasPrincipal() {
		if principal != nil || notPrincipal != nil {
			return nil, fmt.Errorf("a %s must not name a principal", kind)
		}
		return nil, nil //nolint:nilnil // such a policy is its principal's own
	}
	if (principal == nil) == (notPrincipal == nil) {
		return nil, errors.New("it must have either Principal or NotPrincipal")
	}
	p := &principals{not: notPrincipal != nil}
	data := principal
	if p.not {
		data = notPrincipal
	}
	var text string
	if json.Unmarshal(data, &text) == nil {
		if text != "*" {
			return nil, fmt.Errorf("the principal %q is neither * nor an object", text)
		}
		p.everyone = true
		return p, nil
	}
	var byType map[string]oneOrMore
	if err := json.Unmarshal(data, &byType); err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	if len(byType) == 0 {
		return nil, errors.New("its principal is empty")
	}
	for kind, values := range byType {
		for _, v := range values {
			if err := p.add(kind, v); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *principals) add(kind, value string) error {
	switch kind {
	case "AWS":
		return p.addAWS(value)
	case "Service":
		if !strings.HasSuffix(value, ".amazonaws.com") {
			return fmt.Errorf("the service principal %q does not end in .amazonaws.com", value)
		}
		p.services = append(p.services, value)
	case "Federated":
		if value == "*" {
			p.everyone = true
			return nil
		}
		p.aws = append(p.aws, value) // an identity provider: no principal here comes from one
	case "CanonicalUser":
		p.aws = append(p.aws, value) // an S3 account id: no principal here has one
	default:
		return fmt.Errorf("the kind of principal %q is not known (AWS, Service, Federated, CanonicalUser)", kind)
	}
	return nil
}

func (p *principals) addAWS(value string) error {
	digits := regexp.MustCompile(`^[0-9]{12}$`)
	switch {
	case value == "*":
		p.everyone = true
	case digits.MatchString(value):
		p.accounts = append(p.accounts, value)
	case segment(value, arnService) == "iam" && segment(value, arnResource) == "root":
		p.accounts = append(p.accounts, segment(value, arnAccount))
	case strings.ContainsAny(value, "*?"):
		return fmt.Errorf("the principal %q has a wildcard: only * as a whole is allowed", value)
	case segment(value, arnAccount) != "" || regexp.MustCompile(`^A(ROA|IDA)[A-Z0-9]{16}$`).MatchString(value):
		p.aws = append(p.aws, value)
	default:
		return fmt.Errorf("the principal %q is neither an ARN, an account, a unique id nor *", value)
	}
	return nil
}

// reaches says how the statement, of which allow is the effect, reaches a principal.
func (p *principals) reaches(who Principal, allow, bounded bool) reach {
	if !p.not {
		return p.names(who)
	}
	if allow && p.names(who) != notReached || !allow && p.exempts(who, bounded) {
		return notReached
	}
	return directly
}

// names says how the principal is among those that are listed.
func (p *principals) names(who Principal) reach {
	switch {
	case p.everyone:
		return directly
	case who.Service != "":
		if contains(p.services, who.Service) {
			return directly
		}
		return notReached
	case who.Anonymous():
		return notReached
	case contains(p.aws, who.ARN), contains(p.aws, who.UserID):
		return directly
	case contains(p.aws, who.RoleARN), contains(p.aws, roleID(who)):
		return viaRole
	case contains(p.accounts, who.Account()):
		return viaAccount
	}
	return notReached
}

// exempts says whether a Deny with NotPrincipal leaves a principal out. Each of its identities must be named: the
// account, the role and the session ("When you use NotPrincipal with Deny, you must also specify the
// account ARN of the not-denied principal"). With a permissions boundary, no principal is left out.
func (p *principals) exempts(who Principal, bounded bool) bool {
	switch {
	case p.everyone:
		return true
	case who.Service != "":
		return contains(p.services, who.Service)
	case who.Anonymous() || bounded:
		return false
	}
	return contains(p.accounts, who.Account()) && (who.isRoot() || contains(p.aws, who.ARN)) &&
		(who.RoleARN == "" || contains(p.aws, who.RoleARN))
}

// roleID is the unique id of a session's role.
func roleID(who Principal) string {
	if who.RoleARN == "" {
		return ""
	}
	id, _, _ := strings.Cut(who.UserID, ":")
	return id
}

func contains(list []string, v string) bool {
	if v == "" {
		return false
	}
	for _, item := range list {
		if item == v {
			return true
		}
	}
	return false
}
