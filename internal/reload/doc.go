// Package reload reads the strict YAML files of both binaries and keeps them fresh
// without a restart.
//
// A file is read in two steps, and both say everything that is wrong at once, with line
// and column: Decode turns the text into a struct (syntax, duplicate and unknown keys,
// types), and the Parse function of the file's owner checks what it means and builds an
// immutable value of it. File then holds that value:
//
//   - Open reads the file for the first time; any problem is an error.
//   - Run looks once a second, through symbolic links, so that the swapped link of a
//     Kubernetes volume is seen. A change is taken when two looks in a row see the same
//     file, so that a file which is being written in place is not read half-way.
//   - Reload reads now; the process calls it on SIGHUP.
//   - A file that cannot be used leaves the last good value in place, is logged once, is
//     counted, and is shown by Status until a good one comes.
//
// A good file may still be a slip, such as a list that a template rendered empty. Who knows what
// must not be lost without a word sets a Guard, which compares the file with the one in use: what it
// objects to is not taken either.
//
// An unknown key is an error at start and in check, where a person is looking, and a
// warning at reload, where refusing the file would keep an operator's other changes out.
//
// A reload has the process's callbacks in mind: all that it does is done in small pieces, between
// which others have the processor (Pace), and no reader of the value or of Status waits for it.
// Neither a file's text nor its syntax tree stays in memory.
//
// Problems never quote a value: it may be a token.
package reload
