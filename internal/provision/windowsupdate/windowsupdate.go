// Package windowsupdate is the windows-update provisioner: it installs updates
// on a Windows machine, and restarts it as often as they need, until nothing is
// left to install.
package windowsupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/winguest"
)

type provisioner struct{}

// New returns the windows-update provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	SearchCriteria string        `cty:"search_criteria"`
	Filters        []string      `cty:"filters"`
	UpdateLimit    int           `cty:"update_limit"`
	UpdateTimeout  time.Duration `cty:"update_timeout"`
	RestartTimeout time.Duration `cty:"restart_timeout"`
	RebootLimit    *int          `cty:"reboot_limit"`
	Username       string        `cty:"username"`
	Password       string        `cty:"password"`
}

const (
	// defaultCriteria is what Windows itself would install.
	defaultCriteria       = "BrowseOnly=0 and IsInstalled=0"
	defaultLimit          = 1000
	defaultUpdateTimeout  = 2 * time.Hour
	defaultRestartTimeout = 4 * time.Hour
	defaultRebootLimit    = 10
)

func (provisioner) Schema() component.Schema {
	password := component.String("password", "Password of username. Without one, username is a service account.")
	password.Sensitive = true
	return component.Schema{
		Description: "Installs updates from Windows Update, or from the server that the machine is set up for, and restarts the machine as often as they need, until there is nothing left to install.",
		Manual: &component.Manual{
			Example: `provisioner "windows-update" {
  search_criteria = "IsInstalled=0"
  filters = [
    "exclude:$_.Title -like '*Preview*'",
    "include:$true",
  ]
  update_limit = 25
}
`,
		},
		Attributes: []component.Attribute{
			component.String("search_criteria", "What to look for, in the language of the method `IUpdateSearcher::Search` of Windows. Default `"+defaultCriteria+"`: what Windows would install by itself."),
			component.Strings("filters", "Which of the updates found to install: a list of `include:EXPRESSION` and `exclude:EXPRESSION`. The expressions are PowerShell, with the update as `$_`. The first that is true decides; when none is, the update is not installed. Default: all are."),
			component.Number("update_limit", "How many updates to install before looking again. Default 1000."),
			component.DurationAttr("update_timeout", "", "How long the search, and the download or the installation of one update, may take. Default 2h."),
			component.DurationAttr("restart_timeout", "", "How long a restart may take, with what Windows does to the updates meanwhile. Default 4h."),
			component.Number("reboot_limit", "How many restarts there may be. Default 10."),
			component.String("username", "Install the updates as this user. Default: as SYSTEM."),
			password,
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	out := c.check(cfg)
	if out.HasErrors() {
		return nil, out
	}
	return &step{c.withDefaults()}, out
}

func (c config) check(cfg cty.Value) diag.List {
	var out diag.List
	for name, d := range map[string]time.Duration{"update_timeout": c.UpdateTimeout, "restart_timeout": c.RestartTimeout} {
		if d < 0 {
			out = append(out, diag.At(name, "Negative duration", "%s must not be negative, got %s.", name, d)...)
		}
	}
	if c.UpdateLimit < 0 {
		out = append(out, diag.At("update_limit", "Negative limit", "update_limit must not be negative, got %d.", c.UpdateLimit)...)
	}
	if c.RebootLimit != nil && *c.RebootLimit < 0 {
		out = append(out, diag.At("reboot_limit", "Negative limit", "reboot_limit must not be negative, got %d.", *c.RebootLimit)...)
	}
	if c.Username == "" && component.Known(cfg, "username") && component.HasValue(cfg, "password") {
		out = append(out, diag.At("password", "Password without a user", "password is set, but username is not: set it to the user who has this password.")...)
	}
	if component.Known(cfg, "filters") {
		out = append(out, c.checkFilters()...)
	}
	return out
}

func (c config) checkFilters() diag.List {
	var out diag.List
	includes := len(c.Filters) == 0
	for _, text := range c.Filters {
		f, err := parseFilter(text)
		if err != nil {
			out = append(out, diag.At("filters", "Invalid filter", "%s.", err)...)
		}
		includes = includes || f.Include || err != nil
	}
	if !includes {
		out = append(out, diag.WarnAt("filters", "No update is included", "An update that no filter includes is not installed, and these only exclude some. Add \"include:$true\" at the end for all others.")...)
	}
	return out
}

// filter is one of filters.
type filter struct {
	Include    bool   `json:"include"`
	Expression string `json:"expression"`
	Number     int    `json:"number"`
}

func parseFilter(text string) (filter, error) {
	action, expression, found := strings.Cut(text, ":")
	f := filter{Include: action == "include", Expression: strings.TrimSpace(expression)}
	switch {
	case !found || action != "include" && action != "exclude":
		return f, fmt.Errorf("the filter %q needs include: or exclude: in front", text)
	case f.Expression == "":
		return f, fmt.Errorf("the filter %q has no expression: write %s:$true for all updates", text, action)
	}
	return f, nil
}

func (c config) withDefaults() config {
	if c.SearchCriteria == "" {
		c.SearchCriteria = defaultCriteria
	}
	if len(c.Filters) == 0 {
		c.Filters = []string{"include:$true"}
	}
	if c.UpdateLimit == 0 {
		c.UpdateLimit = defaultLimit
	}
	if c.UpdateTimeout == 0 {
		c.UpdateTimeout = defaultUpdateTimeout
	}
	if c.RestartTimeout == 0 {
		c.RestartTimeout = defaultRestartTimeout
	}
	if c.RebootLimit == nil {
		limit := defaultRebootLimit
		c.RebootLimit = &limit
	}
	if c.Username == "" {
		c.Username = "SYSTEM"
	}
	return c
}

type step struct{ config }

// Apply installs updates until there are none.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	m := winguest.Machine{Target: t, Patience: s.RestartTimeout}
	if err := m.Usable("windows-update"); err != nil {
		return err
	}
	err := (&campaign{step: s, m: m, records: map[string]*record{}}).run(ctx)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	return fmt.Errorf("windows-update: %w", err)
}
