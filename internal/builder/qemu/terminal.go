package qemu

import "strings"

// sequence is the length of the control sequence of a terminal that text begins
// with, 0 when it begins with none. One that is not complete lasts to the end.
func sequence(text string) int {
	if len(text) == 0 || text[0] != '\x1b' {
		return 0
	}
	if len(text) == 1 {
		return 1
	}
	switch text[1] {
	case '[':
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return i + 1
			}
			if text[i] < 0x20 {
				return i // broken off
			}
		}
		return len(text)
	case ']', 'P', 'X', '^', '_':
		end := strings.IndexAny(text[2:], "\x07\x1b\n")
		switch {
		case end < 0:
			return len(text)
		case text[2+end] == '\n':
			return 2 + end // broken off
		case strings.HasPrefix(text[2+end:], "\x1b\\"):
			return 2 + end + 2
		case text[2+end] == '\x1b':
			return 2 + end // another one begins
		}
		return 2 + end + 1
	case '(', ')', '*', '+', '#', '%', ' ':
		return min(3, len(text))
	}
	return 2
}
