package core

// Marks of a column's entries.
const (
	MarkBytes     = 0
	MarkNull      = 1
	MarkInherited = 2
)

// An empty entry is not nil: nil is null.
var emptyEntry = []byte{}

// Entry answers entry i; nil when it is null or the column is left out.
func Entry(column *Column, i int) []byte {
	if i >= len(column.Ends) || (i < len(column.Marks) && column.Marks[i] != MarkBytes) {
		return nil
	}
	start, end := uint32(0), column.Ends[i]
	if i > 0 {
		start = column.Ends[i-1]
	}
	if start == end {
		return emptyEntry
	}
	return column.Data[start:end:end]
}

// Push appends an entry; nil is null.
func Push(column *Column, entry []byte) {
	if entry == nil {
		Close(column, MarkNull)
		return
	}
	column.Data = append(column.Data, entry...)
	Close(column, MarkBytes)
}

// Close ends the entry whose bytes were appended to the column's data.
func Close(column *Column, mark uint8) {
	column.Ends = append(column.Ends, uint32(len(column.Data)))
	if mark != MarkBytes || len(column.Marks) > 0 {
		for len(column.Marks) < len(column.Ends)-1 {
			column.Marks = append(column.Marks, MarkBytes)
		}
		column.Marks = append(column.Marks, mark)
	}
}

// Materialise makes a column that is left out hold count inherited entries.
func Materialise(column *Column, count int) {
	if len(column.Ends) > 0 {
		return
	}
	for range count {
		column.Ends = append(column.Ends, 0)
		column.Marks = append(column.Marks, MarkInherited)
	}
}

// Truncate keeps the first count entries.
func Truncate(column *Column, count int) {
	column.Ends = column.Ends[:min(count, len(column.Ends))]
	column.Marks = column.Marks[:min(count, len(column.Marks))]
	end := uint32(0)
	if n := len(column.Ends); n > 0 {
		end = column.Ends[n-1]
	}
	column.Data = column.Data[:end]
}

// What is kept of a column's memory from call to call at most.
const keptBytes = 1 << 20

// Clear removes all entries. The memory is kept unless it is large.
func Clear(column *Column) {
	if cap(column.Data) > keptBytes {
		*column = Column{}
		return
	}
	column.Data, column.Ends, column.Marks = column.Data[:0], column.Ends[:0], column.Marks[:0]
}
