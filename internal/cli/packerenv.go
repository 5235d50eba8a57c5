package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// checkPackerSettings reads what is left of Packer's configuration: its file
// could once add components by name, and the plugin path is a single folder.
// What asks for something that does not exist is refused, not passed over.
func checkPackerSettings(getenv func(string) string) error {
	if p := getenv("PACKER_PLUGIN_PATH"); strings.ContainsRune(p, os.PathListSeparator) {
		return fmt.Errorf("PACKER_PLUGIN_PATH is %q: it names one folder, not a list", p)
	}
	path := getenv("PACKER_CONFIG")
	if path == "" {
		dir := firstOf(getenv("PACKER_CONFIG_DIR"), getenv("HOME"))
		if dir == "" {
			return nil
		}
		path = filepath.Join(dir, ".packerconfig")
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	var cfg struct {
		Builders       map[string]string `json:"builders"`
		Provisioners   map[string]string `json:"provisioners"`
		PostProcessors map[string]string `json:"post-processors"`
	}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	for _, list := range []struct {
		name    string
		entries map[string]string
	}{{"builders", cfg.Builders}, {"provisioners", cfg.Provisioners}, {"post-processors", cfg.PostProcessors}} {
		if len(list.entries) > 0 {
			return fmt.Errorf("configuration file %s: %q is no longer supported: components come from required_plugins in the template", path, list.name)
		}
	}
	return nil
}
