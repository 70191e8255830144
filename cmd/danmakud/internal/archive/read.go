package archive

const readersMax = 4
