package qemu

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"runtime"
	"strings"

	"ingot/internal/component"
)

// defaultDisplay is the window that is opened unless the template says which.
const defaultDisplay = "gtk"

// chooseDisplay returns the value of -display; empty passes none.
func (p *plan) chooseDisplay(r component.Run, getenv func(string) string) string {
	switch {
	case p.Headless:
		return "none"
	case p.UseDefaultDisplay, p.Display == "none":
		return ""
	case p.Display != "":
		return p.Display
	case runtime.GOOS == "darwin":
		return "cocoa"
	case runtime.GOOS != "windows" && getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "":
		r.Say("There is no screen to open a window on, so the machine runs without one, as with headless = true")
		return "none"
	}
	return defaultDisplay
}

// showScreen tells where the machine's screen can be seen, and sets the password
// that is needed for it.
func (m *machine) showScreen(ctx context.Context, r component.Run) error {
	var vnc struct {
		Enabled bool
		Host    string
		Service string
	}
	if m.plan.DisableVNC {
		return nil
	}
	if err := m.qmp.Execute(ctx, "query-vnc", nil, &vnc); err != nil {
		r.Emit(component.Trace{Text: "VNC: " + err.Error()}) // this QEMU has no VNC
		return nil
	}
	if !vnc.Enabled {
		return nil // qemuargs say so
	}
	secret := ""
	if m.plan.VNCUsePassword {
		password := m.plan.VNCPassword
		if password == "" {
			password = strings.ToLower(rand.Text()[:8])
		}
		args := map[string]string{"protocol": "vnc", "password": password}
		if err := m.qmp.Execute(ctx, "set_password", args, nil); err != nil {
			return fmt.Errorf("set the VNC password: %w", err)
		}
		secret = " with the password " + password
	}
	r.Say(fmt.Sprintf("The machine's screen is at vnc://%s%s", net.JoinHostPort(vnc.Host, vnc.Service), secret))
	return nil
}
