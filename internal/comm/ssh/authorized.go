package ssh

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ingot/internal/component"
)

var _ component.Finisher = (*comm)(nil)

// Finish removes the build's key from the machine's authorized_keys files
// where ssh_clear_authorized_keys asks for that. It implements
// component.Finisher.
func (c *comm) Finish(ctx context.Context) error {
	c.mu.Lock()
	done := c.tidy || c.closed
	c.tidy = true
	c.mu.Unlock()
	if done || !c.connection.SSHClearAuthorizedKeys || c.connection.TemporaryKeyPairName == "" {
		return nil
	}
	if !c.facts.posix {
		return fmt.Errorf("ssh: clear authorized_keys: %w: the machine has no POSIX shell", component.ErrUnsupported)
	}
	if err := c.shell(ctx, command{line: clearKeysLine(c.connection.TemporaryKeyPairName, keyText(c.connection.SSHPublicKey))}); err != nil {
		return fmt.Errorf("ssh: clear authorized_keys: %w", err)
	}
	return nil
}

// finishLate does the same when nobody has called Finish and the connection
// still works.
func (c *comm) finishLate() {
	if l := c.current(); l == nil || !l.alive() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Finish(ctx); err != nil {
		c.a.r.Emit(component.Warning{Summary: "Key not removed", Detail: fmt.Sprintf("The build's key may still be in the machine's authorized_keys files: %v.", err)})
	}
}

// keyText is the part of an authorized_keys line that is the key itself, such
// as "AAAAC3..."; empty when there is none.
func keyText(line []byte) string {
	if words := strings.Fields(string(line)); len(words) > 1 {
		return words[1]
	}
	return ""
}

// clearKeysLine removes the lines that end with a key's name, or that hold the
// key whatever its name there is, from the user's file and, where sudo allows
// it, from root's. The files keep their owners and modes.
func clearKeysLine(name, key string) string {
	clear := `clear() { [ -f "$1" ] || return 0; ` +
		`n="$2" b="$3" awk '{ k = substr($0, length($0) - length(ENVIRON["n"])); mine = (k == " " ENVIRON["n"]); ` +
		`for (i = 1; i <= NF; i++) if (ENVIRON["b"] != "" && $i == ENVIRON["b"]) mine = 1; if (!mine) print }' "$1" >"$1.ingot" && ` +
		`cat "$1.ingot" >"$1"; r=$?; rm -f "$1.ingot"; return $r; }; `
	root := clear + `clear "$@"`
	return "umask 077; " + clear + `clear "$HOME/.ssh/authorized_keys" ` + quote(name) + " " + quote(key) + " || exit; " +
		`[ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null 2>&1 || ! sudo -n true 2>/dev/null || ` +
		"sudo -n sh -c " + quote(root) + " sh /root/.ssh/authorized_keys " + quote(name) + " " + quote(key)
}
