package bootcmd

import (
	"fmt"
	"slices"
	"strings"
)

// Stroke is one key to press for a character, with what has to be held.
type Stroke struct {
	// Code is QEMU's name of the key by its place on a US keyboard (QKeyCode).
	Code         string
	Shift, AltGr bool
}

// Layout is what the keys of a keyboard produce, as the guest is set up.
type Layout struct {
	name    string
	strokes map[rune][]Stroke
}

// Layouts are the names that LayoutNamed knows, sorted.
func Layouts() []string {
	var out []string
	for _, l := range layouts {
		out = append(out, l.name)
	}
	slices.Sort(out)
	return out
}

// LayoutNamed returns a layout: "us", "gb", "de" or "fr".
func LayoutNamed(name string) (*Layout, error) {
	for i := range layouts {
		if layouts[i].name == name {
			return layouts[i].build(), nil
		}
	}
	return nil, fmt.Errorf("keyboard layout %q is not known: use one of %s", name, strings.Join(Layouts(), ", "))
}

// Strokes are the keys that produce a character, in order. The error says that
// the layout does not have it.
func (l *Layout) Strokes(r rune) ([]Stroke, error) {
	if s := l.strokes[r]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("the character %q cannot be typed on a keyboard of the layout %q", r, l.name)
}

// Code is QEMU's name of a special key.
func Code(special string) string { return qcodes[special] }

// qcodes are the names of the special keys in the boot command's language and
// in QEMU's (qapi/ui.json, QKeyCode).
var qcodes = map[string]string{
	"bs": "backspace", "del": "delete", "enter": "ret", "esc": "esc", "tab": "tab",
	"f1": "f1", "f2": "f2", "f3": "f3", "f4": "f4", "f5": "f5", "f6": "f6",
	"f7": "f7", "f8": "f8", "f9": "f9", "f10": "f10", "f11": "f11", "f12": "f12",
	"up": "up", "down": "down", "left": "left", "right": "right", "spacebar": "spc",
	"insert": "insert", "home": "home", "end": "end", "pageup": "pgup", "pagedown": "pgdn", "menu": "menu",
	"leftalt": "alt", "rightalt": "alt_r", "leftctrl": "ctrl", "rightctrl": "ctrl_r",
	"leftshift": "shift", "rightshift": "shift_r", "leftsuper": "meta_l", "rightsuper": "meta_r",
}

// places are the keys in the order in which the rows of a layout list what
// they produce: the row of digits, then the three rows of letters. The last
// row starts with the key between the left shift key and Z, which a US
// keyboard does not have.
var places = []string{
	"grave_accent", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus", "equal",
	"q", "w", "e", "r", "t", "y", "u", "i", "o", "p", "bracket_left", "bracket_right",
	"a", "s", "d", "f", "g", "h", "j", "k", "l", "semicolon", "apostrophe", "backslash",
	"less", "z", "x", "c", "v", "b", "n", "m", "comma", "dot", "slash",
}

// rows is a layout as it is printed on the keys. A space stands for nothing.
// Characters in dead wait for the next key, so that a space has to follow.
type rows struct {
	name                string
	plain, shift, altGr string
	dead                string
}

var layouts = []rows{
	{
		name:  "us",
		plain: "`1234567890-=" + "qwertyuiop[]" + `asdfghjkl;'\` + " zxcvbnm,./",
		shift: "~!@#$%^&*()_+" + "QWERTYUIOP{}" + `ASDFGHJKL:"|` + " ZXCVBNM<>?",
	},
	{
		name:  "gb",
		plain: "`1234567890-=" + "qwertyuiop[]" + `asdfghjkl;'#` + `\zxcvbnm,./`,
		shift: "¬!\"£$%^&*()_+" + "QWERTYUIOP{}" + `ASDFGHJKL:@~` + `|ZXCVBNM<>?`,
		altGr: "¦   €        " + "            " + "            " + "           ",
	},
	{
		name:  "de",
		plain: "^1234567890ß´" + "qwertzuiopü+" + "asdfghjklöä#" + "<yxcvbnm,.-",
		shift: "°!\"§$%&/()=?`" + "QWERTZUIOPÜ*" + "ASDFGHJKLÖÄ'" + ">YXCVBNM;:_",
		altGr: "  ²³   {[]}\\ " + "@ €        ~" + "            " + "|      µ   ",
		dead:  "^´`",
	},
	{
		name:  "fr",
		plain: "²&é\"'(-è_çà)=" + "azertyuiop $" + "qsdfghjklmù*" + "<wxcvbn,;:!",
		shift: " 1234567890°+" + "AZERTYUIOP¨£" + "QSDFGHJKLM%µ" + ">WXCVBN?./§",
		altGr: "  ~#{[|`\\^@]}" + "  €        ¤" + "            " + "           ",
		dead:  "¨",
	},
}

func (r *rows) build() *Layout {
	l := &Layout{name: r.name, strokes: map[rune][]Stroke{' ': {{Code: "spc"}}}}
	for _, level := range []struct {
		text         string
		shift, altGr bool
	}{{r.plain, false, false}, {r.shift, true, false}, {r.altGr, false, true}} {
		i := 0
		for _, c := range level.text {
			s := Stroke{places[i], level.shift, level.altGr}
			i++
			if c == ' ' || l.strokes[c] != nil {
				continue
			}
			l.strokes[c] = []Stroke{s}
			if strings.ContainsRune(r.dead, c) {
				l.strokes[c] = append(l.strokes[c], Stroke{Code: "spc"})
			}
		}
	}
	return l
}
