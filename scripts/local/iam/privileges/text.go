package privileges

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Count is how many grants there are of each kind.
type Count struct{ Roles, Grants, Used, Explained, Unused, Denied, Stale int }

// Count counts.
func (r Report) Count() Count {
	c := Count{Roles: len(r.Roles), Denied: len(r.Denials), Stale: len(r.Stale)}
	for _, role := range r.Roles {
		for _, g := range role.Grants {
			c.Grants++
			switch {
			case g.Reason != "":
				c.Explained++
			case g.OK():
				c.Used++
			default:
				c.Unused++
			}
		}
	}
	return c
}

// OK says whether least privilege is proved.
func (c Count) OK() bool { return c.Unused == 0 && c.Denied == 0 && c.Stale == 0 }

// String sums up in a line.
func (c Count) String() string {
	return fmt.Sprintf("%d grants of %d roles: %d used, %d not used for a written reason, %d not used; %d calls denied",
		c.Grants, c.Roles, c.Used, c.Explained, c.Unused, c.Denied)
}

// Write prints the report as a table, and below it all that is wrong.
func (r Report) Write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, role := range r.Roles {
		fmt.Fprintf(table, "\n%s\t\t\n", role.Path)
		for _, group := range grouped(role.Grants) {
			fmt.Fprintf(table, "  %s\t%s\t%s\n", group.resource, group.verdict, group.actions)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	for _, d := range r.Denials {
		fmt.Fprintf(out, "\nDENIED %s\n", d.Denial.Why)
	}
	for _, s := range r.Stale {
		fmt.Fprintf(out, "\nSTALE %s\n", s)
	}
	return nil
}

// group is what a table's row shows: the actions on a resource that share a verdict.
type group struct{ resource, verdict, actions string }

func grouped(grants []Grant) []group {
	var groups []group
	for _, g := range grants {
		verdict := "used"
		switch {
		case g.Reason != "":
			verdict = "not used: " + g.Reason
		case !g.Used:
			verdict = "NOT USED"
		case len(g.Missing) > 0:
			verdict = "NOT USED, but for others that it matches: " + strings.Join(g.Missing, " ")
		}
		resource := shorten(g.Resource)
		i := slices.IndexFunc(groups, func(o group) bool { return o.resource == resource && o.verdict == verdict })
		if i < 0 {
			groups = append(groups, group{resource: resource, verdict: verdict, actions: g.Action})
			continue
		}
		groups[i].actions += " " + g.Action
	}
	return groups
}

// shorten leaves out what is the same in all ARNs.
func shorten(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return arn
	}
	return parts[2] + " " + parts[5]
}
