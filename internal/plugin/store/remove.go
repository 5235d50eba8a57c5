package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove deletes a plugin with its checksum file, and its folders as far as they
// are empty then.
func (s *Store) Remove(b Binary) error {
	if err := os.Remove(b.Path); err != nil {
		return fmt.Errorf("remove a plugin: %w", err)
	}
	if err := os.Remove(b.Path + SumSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a plugin: %w", err)
	}
	for dir := filepath.Dir(b.Path); dir != filepath.Clean(s.Dir) && len(dir) > len(s.Dir); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}

// At is the plugin at a path, which has to be below the plugin folder and a
// plugin's for this platform by its name.
func (s *Store) At(path string) (Binary, error) {
	below, err := filepath.Rel(s.Dir, path)
	if err != nil || !filepath.IsLocal(below) || filepath.Dir(below) == "." {
		return Binary{}, fmt.Errorf("%s is not in a folder below the plugin folder %s", path, s.Dir)
	}
	b, ok := s.binary(filepath.Dir(below), filepath.Base(below))
	if !ok {
		return Binary{}, fmt.Errorf("%s is not a plugin for %s", path, Here())
	}
	return b, nil
}
