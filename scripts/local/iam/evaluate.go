package iam

// Evaluate decides a request. An explicit deny in any policy decides; then a policy of the resource may
// allow by itself, as far as it reaches; then the identity's policies must allow, within the boundary
// and the session's policies.
func Evaluate(r Request, p Policies) Decision {
	r = r.prepared()
	if ref, denied := p.denial(r); denied {
		return Decision{Explicit: true, Because: ref}
	}
	resource := p.resourceAllows(r)
	if r.Principal.Anonymous() || r.Principal.Service != "" {
		return resource.alone(directly)
	}
	owner := r.ResourceAccount
	if owner == "" {
		if owner = segment(r.Resource, arnAccount); owner == "" {
			owner = r.Principal.Account()
		}
	}
	if owner != r.Principal.Account() && resource.reach == notReached {
		return Decision{Because: Ref{Kind: Resource}} // another account's resource
	}
	sameAccount := owner == r.Principal.Account()
	if p.ResourceDecides && resource.reach == notReached {
		return Decision{Because: Ref{Kind: p.resourceKind()}}
	}
	if sameAccount && resource.reach == directly {
		return resource.alone(directly)
	}
	limits := p.limits(r)
	if limits.denied {
		return Decision{Because: limits.because}
	}
	grants := limits.grants
	if sameAccount && resource.reach == viaRole {
		return Decision{Allowed: true, Grants: append(resource.grants, grants...)}
	}
	identity := allowing(p.Identity, r)
	switch {
	case len(identity) > 0:
		grants = append(identity, grants...)
	case !r.Principal.isRoot():
		return Decision{Because: Ref{Kind: Identity}}
	}
	return Decision{Allowed: true, Grants: append(grants, resource.grants...)}
}

// denial finds a statement that denies the request.
func (p Policies) denial(r Request) (Ref, bool) {
	lists := [][]*Policy{p.Identity, p.Resource, p.Session}
	if p.Boundary != nil {
		lists = append(lists, []*Policy{p.Boundary})
	}
	for _, list := range lists {
		for _, policy := range list {
			for i := range policy.statements {
				s := &policy.statements[i]
				if s.allow || s.principals != nil && s.principals.reaches(r.Principal, false, p.Boundary != nil) == notReached {
					continue
				}
				if s.applies(r) {
					return s.ref, true
				}
			}
		}
	}
	return Ref{}, false
}

// resourceGrant is what the resource's policies allow, and how far that reaches.
type resourceGrant struct {
	reach  reach
	grants []Grant
	kind   Kind
}

// alone decides by the resource's policies only.
func (g resourceGrant) alone(need reach) Decision {
	if g.reach < need {
		return Decision{Because: Ref{Kind: g.kind}}
	}
	return Decision{Allowed: true, Grants: g.grants}
}

func (p Policies) resourceAllows(r Request) resourceGrant {
	g := resourceGrant{kind: p.resourceKind()}
	for _, policy := range p.Resource {
		for i := range policy.statements {
			s := &policy.statements[i]
			if !s.allow || !s.applies(r) {
				continue
			}
			if how := s.principals.reaches(r.Principal, true, p.Boundary != nil); how != notReached {
				g.reach = max(g.reach, how)
				g.grants = append(g.grants, s.grant(r))
			}
		}
	}
	return g
}

func (p Policies) resourceKind() Kind {
	for _, policy := range p.Resource {
		return policy.kind
	}
	return Resource
}

// limit is what the boundary and the session's policies leave of a request.
type limit struct {
	denied  bool
	because Ref
	grants  []Grant
}

func (p Policies) limits(r Request) limit {
	var l limit
	if p.Boundary != nil {
		grants := allowing([]*Policy{p.Boundary}, r)
		if len(grants) == 0 {
			return limit{denied: true, because: Ref{Kind: Boundary}}
		}
		l.grants = append(l.grants, grants...)
	}
	if len(p.Session) > 0 {
		grants := allowing(p.Session, r)
		if len(grants) == 0 {
			return limit{denied: true, because: Ref{Kind: Session}}
		}
		l.grants = append(l.grants, grants...)
	}
	return l
}

// allowing are the statements that allow the request.
func allowing(policies []*Policy, r Request) []Grant {
	var grants []Grant
	for _, policy := range policies {
		for i := range policy.statements {
			if s := &policy.statements[i]; s.allow && s.applies(r) {
				grants = append(grants, s.grant(r))
			}
		}
	}
	return grants
}
