package archive

import (
	"io"
	"os"
)

// disk is the operations that write, so that tests can make them fail.
type disk interface {
	// create makes a file that must not exist, and the folders to it.
	create(path string) (file, error)
	// reopen opens a file to append to it; it must exist.
	reopen(path string) (file, error)
	remove(path string) error
}

// file is what of an *os.File is used for writing.
type file interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

type osDisk struct{}

func (osDisk) create(path string) (file, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(path, flags, 0o640)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(parent(path), 0o750); err == nil {
			f, err = os.OpenFile(path, flags, 0o640)
		}
	}
	if err != nil {
		return nil, err // not f, which would be a file that is no nil
	}
	return f, nil
}

func (osDisk) reopen(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) remove(path string) error { return os.Remove(path) }
