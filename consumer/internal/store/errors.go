package store

import "errors"

var (
	// ErrData says that the data itself was refused: a constraint, a type, a size. To
	// try again is no use. The caller saves the batch in halves until it has the row at
	// fault alone, and makes a dead letter of that.
	ErrData = errors.New("the database refused the data")

	// ErrReplayed says that a dead letter is not open any more: another replay used it,
	// or it was dropped for its age or for room. Nothing was saved; the caller leaves that
	// letter out.
	ErrReplayed = errors.New("the dead letter is not open any more")

	// ErrNewer says that the database was made by a later release. The caller stops and
	// says so; the operator runs that release, or restores a copy from before it.
	ErrNewer = errors.New("the database was made by a later release than this one: run that release, or restore a copy from before it")

	// ErrOlder says that the tables are of an earlier release, so that this one cannot read
	// them. The caller stops and says so; the operator starts this release's consumer once,
	// which brings them up to date, or reads with the earlier release.
	ErrOlder = errors.New("the database is of an earlier release: start this release's consumer once, or use the earlier release's command")

	// ErrMissing says that there is no database to read at this place: no consumer has
	// run, or it keeps its rows elsewhere. The caller stops and says so.
	ErrMissing = errors.New("no consumer has saved anything there yet")

	// ErrForeign says that the file, or the schema, holds another program's tables. The
	// caller stops and says so; nothing was changed in it.
	ErrForeign = errors.New("the database is another program's: give this one a database, or a schema (?search_path=NAME), of its own")

	// ErrServer says that the server, or its database, is none that can be used: too old,
	// not in UTF-8, without a schema. The caller stops and says so.
	ErrServer = errors.New("the server cannot be used as it is")

	// ErrRights says, beside ErrMissing or ErrOlder, that this user could not put it right: it
	// may not make tables. Who only reads need not mind.
	ErrRights = errors.New("this user may not make tables there")

	// ErrReadOnly says that a store opened for reading was asked to write: a fault of
	// the caller.
	ErrReadOnly = errors.New("the store was opened for reading only")

	// ErrURL says that a --store value cannot be read. The caller stops and says so.
	ErrURL = errors.New("not a store: want sqlite:PATH, such as sqlite:data/tidegate.db, or postgres://USER@HOST/DATABASE")
)
