# ingot get
# The line of the input is a path, UTF-8 in base64. The file is printed as lines
# of base64, and after them "=SIZE SHA256".
begin {
    $ErrorActionPreference = 'Stop'
    function global:Text($b) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($b)) }
    #path
    function global:Release { }
    #read
}
process {
    try {
        Read (Full ([string]$_).TrimStart([char]0xFEFF))
    } catch {
        #fail
    }
}
end { [Console]::Out.WriteLine('.') }
