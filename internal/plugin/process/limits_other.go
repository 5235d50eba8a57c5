//go:build !linux

package process

import "errors"

func limitProcess(_ int, l Limits) error {
	if l != (Limits{}) {
		return errors.New("limits for plugins are not supported on this system")
	}
	return nil
}
