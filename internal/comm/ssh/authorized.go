package ssh

import (
	"context"
	"fmt"
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
	if err := c.shell(ctx, command{line: clearKeysLine(c.connection.TemporaryKeyPairName)}); err != nil {
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

// clearKeysLine removes the lines that end with a key's name from the user's
// file and, where sudo allows it, from root's. The files keep their owners and
// modes.
func clearKeysLine(name string) string {
	clear := `clear() { [ -f "$1" ] || return 0; ` +
		`awk -v n="$2" '{ k = substr($0, length($0) - length(n)); if (k != " " n) print }' "$1" >"$1.ingot" && cat "$1.ingot" >"$1"; r=$?; rm -f "$1.ingot"; return $r; }; `
	root := clear + `clear "$1" "$2"`
	return "umask 077; " + clear + `clear "$HOME/.ssh/authorized_keys" ` + quote(name) + " || exit; " +
		`[ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null 2>&1 || ! sudo -n true 2>/dev/null || ` +
		"sudo -n sh -c " + quote(root) + " sh /root/.ssh/authorized_keys " + quote(name)
}
