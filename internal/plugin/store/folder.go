package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Folder is the plugin folder that the environment names, by Packer's rules:
// PACKER_PLUGIN_PATH, else the folder plugins of Packer's configuration folder.
func Folder(getenv func(string) string) (string, error) {
	if path := getenv("PACKER_PLUGIN_PATH"); path != "" {
		if strings.ContainsRune(path, os.PathListSeparator) {
			return "", fmt.Errorf("PACKER_PLUGIN_PATH is %q: it names one folder, not a list; take one of %s", path, strings.Join(filepath.SplitList(path), ", "))
		}
		return filepath.Abs(path)
	}
	config, err := configFolder(getenv, runtime.GOOS)
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(config, "plugins"))
}

func configFolder(getenv func(string) string, goos string) (string, error) {
	name := ".packer.d"
	if goos == "windows" {
		name = "packer.d"
	}
	if dir := getenv("PACKER_CONFIG_DIR"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	if dir := getenv("APPDATA"); goos == "windows" && dir != "" {
		return filepath.Join(dir, name), nil
	}
	home := getenv("HOME")
	if home == "" && goos == "windows" {
		home, _ = os.UserHomeDir() // empty is an error below
	}
	if home == "" {
		return "", errors.New("there is no place for plugins: set PACKER_PLUGIN_PATH or HOME")
	}
	old := filepath.Join(home, name)
	if _, err := os.Stat(old); err == nil || goos == "windows" {
		return old, nil
	}
	if xdg := getenv("XDG_CONFIG_HOME"); xdg != "" {
		return filepath.Join(xdg, "packer"), nil
	}
	return filepath.Join(home, ".config", "packer"), nil
}
