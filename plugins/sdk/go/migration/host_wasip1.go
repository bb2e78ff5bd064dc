//go:build wasip1

package migration

import (
	"wasmill/internal/bindings/exports/export_wasmill_plugin_migration_handler"
	// The component's export.
	_ "wasmill/internal/bindings/exports/wit_migrate_exports"
	"wasmill/internal/core"
)

func init() {
	core.Requirements = append(core.Requirements, core.Requirement{
		Package: "wasmill/migration",
		Method:  method,
		Has:     func(plugin any) bool { _, has := plugin.(Handler); return has },
	})
	export_wasmill_plugin_migration_handler.OnMigrate = func(from uint32) string {
		if err := migrate(core.Configured(), from); err != nil {
			return core.Told(err)
		}
		return ""
	}
}
