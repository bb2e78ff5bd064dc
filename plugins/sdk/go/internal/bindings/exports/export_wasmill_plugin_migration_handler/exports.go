// Package export_wasmill_plugin_migration_handler is what the generated exports call for `migration-handler`.
package export_wasmill_plugin_migration_handler

import witTypes "wasmill/internal/bindings/wit/types"

// OnMigrate is set by package migration. The message is "" when it has migrated.
var OnMigrate func(from uint32) string

// Migrate answers `migrate`.
func Migrate(from uint32) witTypes.Result[witTypes.Unit, string] {
	if message := OnMigrate(from); message != "" {
		return witTypes.Err[witTypes.Unit](message)
	}
	return witTypes.Ok[witTypes.Unit, string](witTypes.Unit{})
}
