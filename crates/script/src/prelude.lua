-- Builds the environment of scripts around the functions that Rust provides. It runs once, when an engine starts, with the full library.
--
-- Scripts see protected tables only: empty tables whose metatable forwards reads to the real table and refuses writes. Functions that could
-- pass a protection by (rawset, setmetatable, next, ...) are replaced by ones that know of it. (Redis changes the interpreter instead.)
local raw = ...

local error, type, next, rawset, rawget, rawequal = error, type, next, rawset, rawget, rawequal
local setmetatable, getmetatable, tostring, tonumber, pcall, xpcall, select = setmetatable, getmetatable, tostring, tonumber, pcall, xpcall, select
local unpack, loadstring, load, getinfo, collectgarbage = unpack, loadstring, load, debug.getinfo, collectgarbage
local floor = math.floor
local READONLY = "Attempt to modify a readonly table"
local SOURCE = "=ochre"

-- From a protected table to the real one.
local behind = setmetatable({}, { __mode = "k" })
-- All protected tables.
local protected = {}

local function refuse_write()
  error(READONLY, 2)
end

local function protect(real, missing)
  local shown = {}
  behind[shown] = real
  protected[#protected + 1] = shown
  if missing then
    rawset(getmetatable(real) or getmetatable(setmetatable(real, {})), "__index", missing)
  end
  return setmetatable(shown, { __index = real, __newindex = refuse_write })
end

-- Each makes a C function that calls a function and raises the error that this returns. Lua keeps the frame of the caller of a C function
-- even in `return f()`, so the error names the caller's line. `wrap` is for functions that return true and their results, or false and a
-- text; `wrap_table` for those that return false and their results, or true and an error of any kind, which is raised as it is.
local wrap, wrap_table = raw.wrap, raw.wrap_table

local function wrap_all(functions)
  local wrapped = {}
  for name, f in next, functions do
    wrapped[name] = type(f) == "function" and wrap(f) or f
  end
  return wrapped
end

local function error_table(text)
  return { err = "ERR " .. text }
end

local redis = {}
for name, f in next, raw.redis do
  redis[name] = type(f) == "function" and wrap_table(f) or f
end

-- A failed call returns its error to the script, rather than raising it.
local call_raw = raw.redis.call
redis.pcall = function(...)
  local _, reply = call_raw(...)
  return reply
end
redis.breakpoint = function()
  return false
end
redis.debug = function() end
redis.replicate_commands = function()
  return true
end

local string_library = {}
for name, f in next, string do
  string_library[name] = f
end
-- Nothing may be compiled to bytecode or loaded from it.
string_library.dump = function()
  error("unable to dump given function", 2)
end

local function copy(library, names)
  local copied = {}
  for name in names:gmatch("%S+") do
    copied[name] = library[name]
  end
  return copied
end

local math_library = copy(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod "
  .. "modf pi pow rad sin sinh sqrt tan tanh")
math_library.random = wrap(raw.random)
math_library.randomseed = wrap(raw.randomseed)

local libraries = {
  redis = redis,
  server = redis,
  cjson = wrap_all(raw.cjson),
  cmsgpack = wrap_all(raw.cmsgpack),
  struct = wrap_all(raw.struct),
  bit = wrap_all(raw.bit),
  string = string_library,
  table = copy(table, "concat foreach foreachi getn insert maxn remove setn sort"),
  math = math_library,
  os = { clock = os.clock },
  coroutine = copy(coroutine, "create resume running status wrap yield"),
}

-- `cjson.new` returns an instance with settings of its own.
local function new_cjson()
  local instance = wrap_all(raw.new_cjson())
  instance.new = new_cjson
  return instance
end
libraries.cjson.new = new_cjson

local globals = { _VERSION = _VERSION }
for name, library in next, libraries do
  globals[name] = protect(library)
end
globals.server = globals.redis

for name in ("assert error gcinfo ipairs rawequal select tonumber tostring type xpcall"):gmatch("%S+") do
  globals[name] = _G[name]
end

-- As in Redis, a caught error of a command is its text rather than a table.
local function settle(ok, result, ...)
  if not ok and type(result) == "table" and type(rawget(result, "err")) == "string" then
    return false, rawget(result, "err")
  end
  return ok, result, ...
end
globals.pcall = function(...)
  return settle(pcall(...))
end

-- Strings find their methods behind the metatable, of which scripts see a protected copy.
local string_metatable = getmetatable("")
string_metatable.__index = string_library
local shown_string_metatable = protect({ __index = globals.string })

local function real(value)
  return behind[value] or value
end

local function check_table(value, position, name)
  if type(value) ~= "table" then
    local got = value == nil and "nil" or type(value)
    error("bad argument #" .. position .. " to '" .. name .. "' (table expected, got " .. got .. ")", 3)
  end
end

globals.next = function(t, key)
  check_table(t, 1, "next")
  return next(real(t), key)
end
local shown_next = globals.next
globals.pairs = function(t)
  check_table(t, 1, "pairs")
  return behind[t] and shown_next or next, t, nil
end
globals.rawget = function(t, key)
  check_table(t, 1, "rawget")
  return rawget(real(t), key)
end
globals.rawset = function(t, key, value)
  check_table(t, 1, "rawset")
  if behind[t] then
    error(READONLY, 0)
  end
  return rawset(t, key, value)
end
globals.setmetatable = function(t, metatable)
  check_table(t, 1, "setmetatable")
  if behind[t] then
    error(READONLY, 0)
  end
  if metatable ~= nil and type(metatable) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  return setmetatable(t, metatable)
end
globals.getmetatable = function(value)
  if type(value) == "string" then
    return shown_string_metatable
  end
  if behind[value] or type(value) == "userdata" then
    return nil
  end
  return getmetatable(value)
end
globals.unpack = wrap(function(t, first, last)
  if type(t) ~= "table" then
    return false, "bad argument #1 to 'unpack' (table expected, got " .. (t == nil and "no value" or type(t)) .. ")"
  end
  t = real(t)
  first, last = tonumber(first or 1), tonumber(last or #t)
  if not first or not last then
    return false, "bad argument #" .. (first and 3 or 2) .. " to 'unpack' (number expected)"
  end
  if last - first >= 7998 then
    return false, "too many results to unpack"
  end
  return true, unpack(t, first, last)
end)
-- Bytecode is refused: it is not checked, so it could reach any memory. The collector stands still while the text is parsed, since the
-- parser of Lua 5.1 does not keep the chunk's name alive.
local function compile(text, name)
  if text:byte(1) == 27 then
    return nil, "attempt to load chunk with wrong mode"
  end
  raw.stop_collector()
  local f, message = loadstring(text, name)
  raw.restart_collector()
  return f, message
end
globals.loadstring = function(text, name)
  if type(text) ~= "string" and type(text) ~= "number" then
    error("bad argument #1 to 'loadstring' (string expected, got " .. (text == nil and "no value" or type(text)) .. ")", 2)
  end
  text = tostring(text)
  return compile(text, name ~= nil and tostring(name) or text)
end
globals.load = function(reader, name)
  if type(reader) ~= "function" then
    error("bad argument #1 to 'load' (function expected, got " .. type(reader) .. ")", 2)
  end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then
      break
    end
    if type(part) ~= "string" then
      return nil, "reader function must return a string"
    end
    parts[#parts + 1] = part
  end
  return compile(table.concat(parts), name ~= nil and tostring(name) or "=(load)")
end
-- A script may not switch the collector off.
globals.collectgarbage = function(option, argument)
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return collectgarbage(option or "collect", argument)
  end
  if option == "stop" or option == "restart" or option == "setpause" or option == "setstepmul" then
    return 0
  end
  error("bad argument #1 to 'collectgarbage' (invalid option '" .. tostring(option) .. "')", 2)
end

local function missing_global(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
local shown_globals = protect(globals, missing_global)
globals._G = shown_globals

-- The handler of an error that nothing in the script has caught. It adds where the error was raised.
local function on_error(err)
  if type(err) ~= "table" then
    err = error_table(tostring(err))
  end
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then
      break
    end
    if info.what ~= "C" and info.what ~= "tail" and info.source ~= SOURCE then
      if not behind[err] then
        rawset(err, "source", info.source)
        rawset(err, "line", info.currentline)
      end
      break
    end
    level = level + 1
  end
  return err
end
globals.__redis__err__handler = on_error

-- Functions such as `table.insert` store into a table without asking its metatable. What a script has so stored in a protected table goes with
-- the script, so that no other one meets it.
local function run(f)
  local ended, result = xpcall(f, on_error)
  for i = 1, #protected do
    local shown = protected[i]
    while next(shown) ~= nil do
      rawset(shown, next(shown), nil)
    end
  end
  return ended, result
end

return shown_globals, globals, run
