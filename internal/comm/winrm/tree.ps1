# ingot tree
# The line of the input is a folder, UTF-8 in base64. What is below is printed: a line
# "@d NAME 0 MS", "@f NAME SIZE MS" or "@l NAME TARGET MS" for each, and
# after that of a file its contents.
begin {
    $ErrorActionPreference = 'Stop'
    function global:Text($b) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($b)) }
    function global:Code($t) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($t)) }
    #path
    function global:Release { }
    #read
    function global:Walk($folder, $above) {
        foreach ($i in (New-Object IO.DirectoryInfo $folder).GetFileSystemInfos()) {
            $name = $above + $i.Name
            $ms = [int64]($i.LastWriteTimeUtc - [datetime]'1970-01-01').TotalMilliseconds
            $target = ''
            if ($i.Attributes -band [IO.FileAttributes]::ReparsePoint) { $target = [string](@($i.Target)[0]) }
            if ($target) {
                [Console]::Out.WriteLine('@l ' + (Code $name) + ' ' + (Code $target) + ' ' + $ms)
            } elseif ($i -is [IO.DirectoryInfo]) {
                [Console]::Out.WriteLine('@d ' + (Code $name) + ' 0 ' + $ms)
                Walk $i.FullName ($name + '\')
            } else {
                [Console]::Out.WriteLine('@f ' + (Code $name) + ' ' + $i.Length + ' ' + $ms)
                Read $i.FullName
            }
        }
    }
}
process {
    try {
        $root = Full ([string]$_).TrimStart([char]0xFEFF)
        if ([IO.File]::Exists($root)) { throw 'the path is not a folder' }
        Walk $root ''
    } catch {
        #fail
    }
}
end { [Console]::Out.WriteLine('.') }
