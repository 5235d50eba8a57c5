package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// dirs are the places that Ingot keeps things in.
type dirs struct {
	// State holds the journals of runs.
	State string
	// Cache holds what can be fetched or made again.
	Cache string
	// Config holds what the user has set up.
	Config string
}

// findDirs resolves the places from the environment: the INGOT_ variable,
// Packer's variable where it has one, the XDG variable, the folder below the
// home folder.
func findDirs(getenv func(string) string) (dirs, error) {
	home := getenv("HOME")
	if home == "" {
		if h, err := os.UserHomeDir(); err == nil {
			home = h
		}
	}
	var d dirs
	var errs []error
	for _, place := range []struct {
		to               *string
		ingot, packer    string
		xdg, belowHome   string
		packerSubfolders string
	}{
		{&d.State, "INGOT_STATE_DIR", "", "XDG_STATE_HOME", ".local/state", ""},
		{&d.Cache, "INGOT_CACHE_DIR", "PACKER_CACHE_DIR", "XDG_CACHE_HOME", ".cache", ""},
		{&d.Config, "INGOT_CONFIG_DIR", "PACKER_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", ".packer.d"},
	} {
		switch {
		case getenv(place.ingot) != "":
			*place.to = getenv(place.ingot)
		case place.packer != "" && getenv(place.packer) != "":
			*place.to = filepath.Join(getenv(place.packer), place.packerSubfolders)
		case filepath.IsAbs(getenv(place.xdg)):
			*place.to = filepath.Join(getenv(place.xdg), "ingot")
		case home != "":
			*place.to = filepath.Join(home, filepath.FromSlash(place.belowHome), "ingot")
		default:
			errs = append(errs, fmt.Errorf("no place for %s: set %s or HOME", place.xdg, place.ingot))
			continue
		}
		abs, err := filepath.Abs(*place.to)
		if err != nil {
			errs = append(errs, err)
		}
		*place.to = abs
	}
	return d, errors.Join(errs...)
}

// firstOf returns the first text that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
