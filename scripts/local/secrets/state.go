package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func (s *Store) load() error {
	s.values = map[string]*versions{}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the secrets: %w", err)
	}
	if err := json.Unmarshal(data, &s.values); err != nil {
		return fmt.Errorf("read the secrets: %s is damaged (%w): remove it to have new values made", s.path, err)
	}
	return nil
}

// save leaves the old file or the whole new one, whenever the process is killed.
func (s *Store) save() error {
	data, err := json.Marshal(s.values)
	if err != nil {
		return fmt.Errorf("keep the secrets: %w", err)
	}
	if err := os.MkdirAll(s.cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("keep the secrets: %w", err)
	}
	f, err := os.CreateTemp(s.cfg.StateDir, ".secrets-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep the secrets: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep the secrets: %w", err)
	}
	return nil
}
