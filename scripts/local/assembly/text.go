package assembly

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// text is a scalar as CloudFormation writes it into a string; lists join with
// commas, as Ref of a list parameter does.
func text(v any) string {
	switch v := v.(type) {
	case nil, noValue:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ",")
	default:
		return describe(v)
	}
}

// describe shows a value in a message.
func describe(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	const most = 120
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
