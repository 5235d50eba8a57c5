// Package bootcmd reads the little language of boot_command, in which a
// template writes what a person would type at a machine that boots, and finds
// the keys of a keyboard layout that produce it. It sends nothing itself.
//
// The grammar is that of Packer 1.16, and <expect>: a text is typed character by
// character, but for what stands in angle brackets.
//
//	<wait> <wait5> <wait1m20s>   do nothing for a while (a second, seconds, a duration)
//	<enter> <f10> <leftCtrl>     press and release a special key
//	<leftAltOn> <aOff>           press or release a special key or a character
//	<expect login:>              wait until the machine shows what matches a regular
//	                             expression, in which \x3e stands for ">"
//
// What is in brackets and is none of these is typed as it stands.
package bootcmd

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is what an Action does.
type Kind uint8

// The kinds.
const (
	// Tap presses a key and releases it.
	Tap Kind = iota + 1
	// Press holds a key down until it is released.
	Press
	// Release lets a key go.
	Release
	// Wait does nothing for a while.
	Wait
	// Expect does nothing until the machine shows something.
	Expect
)

// Action is one thing to do at the keyboard.
type Action struct {
	Kind Kind
	// Key is what is pressed or released; zero for Wait and Expect.
	Key Key
	// For is how long a Wait lasts.
	For time.Duration
	// Pattern is what an Expect waits for.
	Pattern *regexp.Regexp
}

// Key is a special key or a character.
type Key struct {
	// Special is the name of a special key in lower case, such as "enter";
	// empty when Char is set.
	Special string
	Char    rune
}

// String is the key as a boot command writes it.
func (k Key) String() string {
	if k.Special != "" {
		return "<" + k.Special + ">"
	}
	return string(k.Char)
}

// Command is a boot command that was read.
type Command struct {
	Actions []Action
	// Literal are the texts in angle brackets that mean nothing and are
	// typed as they stand, each once: more often than not a mistake.
	Literal []string
}

// Waits is how long the command does nothing on purpose.
func (c Command) Waits() time.Duration {
	var sum time.Duration
	for _, a := range c.Actions {
		sum += a.For
	}
	return sum
}

// Parse reads a boot command. The error names a wait that is not longer than
// nothing or what is not a regular expression; everything else is something that
// can be typed. A byte that is not part of UTF-8 is an error too.
func Parse(text string) (Command, error) {
	if !utf8.ValidString(text) {
		return Command{}, fmt.Errorf("boot command %q: not UTF-8", text)
	}
	var c Command
	told := map[string]bool{}
	for text != "" {
		if word, rest, ok := bracketed(text); ok {
			actions, err := special(word)
			if err != nil {
				return Command{}, err
			}
			if actions != nil {
				c.Actions = append(c.Actions, actions...)
				text = rest
				continue
			}
			if looksSpecial(word) && !told[word] {
				told[word] = true
				c.Literal = append(c.Literal, "<"+word+">")
			}
		}
		r, size := utf8.DecodeRuneInString(text)
		c.Actions = append(c.Actions, typed(r))
		text = text[size:]
	}
	return c, nil
}

// typed is the action for a character that stands for itself. Line ends and
// tabs are keys of their own.
func typed(r rune) Action {
	switch r {
	case '\n', '\r':
		return Action{Kind: Tap, Key: Key{Special: "enter"}}
	case '\t':
		return Action{Kind: Tap, Key: Key{Special: "tab"}}
	}
	return Action{Kind: Tap, Key: Key{Char: r}}
}

// bracketed splits "<word>rest".
func bracketed(text string) (word, rest string, ok bool) {
	if !strings.HasPrefix(text, "<") {
		return "", "", false
	}
	// "<>>", "<<on>": the character itself may be a bracket.
	end := strings.IndexByte(text[1:], '>')
	if end == 0 && len(text) > 2 {
		if next := strings.IndexByte(text[2:], '>'); next >= 0 && next <= len("off") {
			end = next + 1
		}
	}
	if end <= 0 {
		return "", "", false
	}
	return text[1 : end+1], text[end+2:], true
}

// special is what a bracketed word asks for; nothing when it means nothing.
func special(word string) ([]Action, error) {
	if rest, ok := strings.CutPrefix(word, "wait"); ok {
		d, ok := waitFor(rest)
		switch {
		case ok && d <= 0:
			return nil, fmt.Errorf("boot command: <%s> has to be longer than nothing", word)
		case ok:
			return []Action{{Kind: Wait, For: d}}, nil
		}
		return nil, nil
	}
	if rest, ok := strings.CutPrefix(word, "expect "); ok {
		pattern, err := Pattern(rest)
		if err != nil {
			return nil, fmt.Errorf("boot command: <%s>: %w", word, err)
		}
		return []Action{{Kind: Expect, Pattern: pattern}}, nil
	}
	kind, name := Tap, word
	lower := strings.ToLower(word)
	switch {
	case strings.HasSuffix(lower, "off") && len(word) > len("off"):
		kind, name = Release, word[:len(word)-len("off")]
	case strings.HasSuffix(lower, "on") && len(word) > len("on"):
		kind, name = Press, word[:len(word)-len("on")]
	}
	if key := strings.ToLower(name); isSpecial(key) {
		return []Action{{Kind: kind, Key: Key{Special: canonical(key)}}}, nil
	}
	if r, size := utf8.DecodeRuneInString(name); kind != Tap && size == len(name) {
		a := typed(r)
		a.Kind = kind
		return []Action{a}, nil
	}
	return nil, nil
}

// Pattern reads a regular expression that a machine is expected to show. Its ^ and
// $ match at the ends of lines. One that matches nothing at all is refused, since
// it would not wait.
func Pattern(text string) (*regexp.Regexp, error) {
	pattern, err := regexp.Compile("(?m)" + text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a regular expression: %w", text, err)
	case pattern.MatchString(""):
		return nil, fmt.Errorf("the regular expression %q matches an empty text, so it waits for nothing", text)
	}
	return pattern, nil
}

// waitFor reads what follows "wait": nothing, seconds or a duration.
func waitFor(text string) (time.Duration, bool) {
	if text == "" {
		return time.Second, true
	}
	if n, err := strconv.Atoi(text); err == nil {
		const most = int(1<<62) / int(time.Second)
		return time.Duration(min(n, most)) * time.Second, true
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// looksSpecial tells a misspelled key from brackets that are part of a text,
// such as those of "echo <b>hello</b>"... a word of letters and digits.
func looksSpecial(word string) bool {
	if len(word) < 2 || len(word) > 20 {
		return false
	}
	return strings.IndexFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}

func isSpecial(name string) bool {
	_, ok := qcodes[canonical(name)]
	return ok
}

// canonical gives keys that have two names one.
func canonical(name string) string {
	switch name {
	case "return":
		return "enter"
	case "leftcommand":
		return "leftsuper"
	case "rightcommand":
		return "rightsuper"
	case "leftoption":
		return "leftalt"
	case "rightoption":
		return "rightalt"
	}
	return name
}
