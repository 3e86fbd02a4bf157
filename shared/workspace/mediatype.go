package workspace

import "strings"

// matches reports whether one of patterns covers mediaType.
func matches(patterns []string, mediaType string) bool {
	for _, pattern := range patterns {
		family, all := strings.CutSuffix(strings.ToLower(pattern), "/*")
		if all && strings.HasPrefix(mediaType, family+"/") || strings.EqualFold(pattern, mediaType) {
			return true
		}
	}
	return false
}
