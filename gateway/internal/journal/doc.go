// Package journal.
package journal
