package component_test

import (
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/component"
	"ingot/internal/diag"
)

func TestCheckLocalFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type check func(attribute, path string) diag.List
	for name, c := range map[string]struct {
		check check
		path  string
		want  string
	}{
		"path to a file":      {component.CheckPath, file, ""},
		"path to a folder":    {component.CheckPath, dir, ""},
		"path to nothing":     {component.CheckPath, file + "s", "File not found"},
		"below a file":        {component.CheckPath, file + "/x", "File not readable"},
		"file":                {component.CheckFile, file, ""},
		"folder for a file":   {component.CheckFile, dir, "Not a file"},
		"no file":             {component.CheckFile, file + "s", "File not found"},
		"folder":              {component.CheckFolder, dir, ""},
		"file for a folder":   {component.CheckFolder, file, "Not a folder"},
		"no folder":           {component.CheckFolder, file + "s", "File not found"},
		"not set":             {component.CheckFolder, "", ""},
		"action":              {component.CheckFile, "{{ build `ID` }}", ""},
		"action for a folder": {component.CheckFolder, "{{.Path}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if found := c.check("attribute", c.path); len(found) > 0 {
				got = found[0].Summary
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
