package stepcache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// chainsFolder has the chain that each build had the last time, be anything of it
// saved or not: step-chains/DIGEST of the build's name.
const chainsFolder = "step-chains"

// forgotten is the age at which nobody asks for the chain of a build any more.
const forgotten = 90 * 24 * time.Hour

func (s *Store) chainFile(build string) string {
	sum := sha256.Sum256([]byte(build))
	return filepath.Join(s.Dir, chainsFolder, hex.EncodeToString(sum[:16]))
}

// Remember notes the chain of a build, and returns the first link that was another
// one the last time; 0 when there is none, or the first one of all was.
func (s *Store) Remember(build string, c Chain) (changed int, err error) {
	keys := make([]string, len(c))
	for i, l := range c {
		keys[i] = l.Key
	}
	path := s.chainFile(build)
	var before []string
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &before) // a torn one says nothing
	}
	for changed < len(keys) && changed < len(before) && keys[changed] == before[changed] {
		changed++
	}
	if changed == len(keys) || changed == len(before) {
		changed = 0
	}
	data, err := json.Marshal(keys)
	if err != nil {
		return changed, fmt.Errorf("step cache: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return changed, fmt.Errorf("step cache: %w", err)
	}
	return changed, replace(path, data)
}

// replace writes a file such that others see all of it or what was there before.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-")
	if err != nil {
		return fmt.Errorf("step cache: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("step cache: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// sweepChains removes the chains of builds that there are no more.
func (s *Store) sweepChains() {
	names, err := os.ReadDir(filepath.Join(s.Dir, chainsFolder))
	if err != nil {
		return // there are none
	}
	for _, n := range names {
		if info, err := n.Info(); err == nil && s.Clock.Now().Sub(info.ModTime()) > forgotten {
			_ = os.Remove(filepath.Join(s.Dir, chainsFolder, n.Name())) // else the next one does
		}
	}
}
